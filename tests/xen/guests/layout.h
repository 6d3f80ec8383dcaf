/* SPDX-License-Identifier: MIT
 *
 * What the lab's guests put where. Included by the guests (C and assembler)
 * and by the tests (C++), so that all agree on every number. Addresses are
 * guest physical, of PV pseudo-physical.
 */
#ifndef VMEMFS_TESTS_XEN_GUESTS_LAYOUT_H
#define VMEMFS_TESTS_XEN_GUESTS_LAYOUT_H

/* Every word in here is tg_pattern() of its address (tests/guests/tiny). Of the
 * frames in xg_status.ranges it is the first and the last word. */
#define XG_PATTERN 0x200000
#define XG_PATTERN_END 0x300000

/* The status page: struct xg_status. Its magic is written last. */
#define XG_STATUS 0x300000
#define XG_READY 0x5944414552424c58 /* "XLBREADY" in memory */
#define XG_OFF_MAGIC 0
#define XG_OFF_COUNTER 8
#define XG_OFF_ECHO 16
#define XG_OFF_SEEN_ECHO 24
#define XG_OFF_SEEN_RBX 32
#define XG_OFF_P2M 40

/* Xen's shared info page is mapped here. */
#define XG_SHARED 0x301000
/* PV: where other frames are mapped one after the other. */
#define XG_WINDOW 0x302000
/* The guest's own things end here; the frames above are filled. */
#define XG_FILL_START 0x400000

/* Registers of vCPU 0 from ready on. rbx is written to seen_rbx again and
 * again. */
#define XG_RBX 0x1111111111111111
#define XG_RBP 0x2222222222222222
#define XG_R12 0x1212121212121212
#define XG_R13 0x1313131313131313
#define XG_R14 0x1414141414141414
#define XG_R15 0x1515151515151515
/* PVH and HVM only. */
#define XG_LSTAR 0xffffffff81a00040
#define XG_STAR 0x0023001000000000

#define XG_MAX_RANGES 16

#ifndef __ASSEMBLER__

#include "../../guests/tiny/layout.h"

#ifdef __cplusplus
#define XG_U64 std::uint64_t
#else
#define XG_U64 uint64_t
#endif

struct xg_status {
  XG_U64 magic;
  XG_U64 counter; /* goes up some 20 times a second, for ever */
  XG_U64 echo;    /* write here: comes back in seen_echo */
  XG_U64 seen_echo;
  XG_U64 seen_rbx;
  XG_U64 p2m;         /* PV: virtual address of the machine frames by frame number */
  XG_U64 range_count; /* valid entries of ranges */
  struct {
    XG_U64 start;
    XG_U64 end;
  } ranges[XG_MAX_RANGES]; /* filled frames, page-aligned */
};

#undef XG_U64

#endif

#endif
