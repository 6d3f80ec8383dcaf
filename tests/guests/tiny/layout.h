/* SPDX-License-Identifier: MIT
 *
 * Memory layout of the tiny guest. Included by the guest (C and assembler) and
 * by the tests (C++), so that both sides agree on every number.
 */
#ifndef VMEMFS_TESTS_GUESTS_TINY_LAYOUT_H
#define VMEMFS_TESTS_GUESTS_TINY_LAYOUT_H

/* The guest keeps everything of its own below this address and fills nothing
 * there; the pattern starts here. */
#define TG_FILL_START 0x1000000

/* RAM above this address is not mapped by the guest and so never filled. */
#define TG_MAP_GIB 64
#define TG_MAP_END 0x1000000000

/* pattern(gpa) = gpa * MUL ^ XOR. MUL is odd, so the function is one-to-one;
 * XOR is odd, so no 8-byte aligned address gives 0. */
#define TG_PATTERN_MUL 0x9e3779b97f4a7c15
#define TG_PATTERN_XOR 0x5bd1e9955bd1e995

/* The info page: struct tg_info. All zero until the guest has set it up; the
 * magic is written last. The offsets are for assembler code. */
#define TG_INFO_GPA 0x200000
#define TG_INFO_MAGIC 0x475453464d454d56 /* "VMEMFSTG" in memory */
#define TG_INFO_OFF_MAGIC 0x00
#define TG_INFO_OFF_COUNTER 0x08
#define TG_INFO_OFF_ECHO 0x10
#define TG_INFO_OFF_SEEN_ECHO 0x18
#define TG_INFO_OFF_SEEN_CODE 0x20
#define TG_INFO_OFF_SEEN_R12 0x28
#define TG_INFO_OFF_SEEN_R13 0x30
#define TG_INFO_OFF_SEEN_R14 0x38
#define TG_INFO_OFF_SEEN_R15 0x40
#define TG_INFO_MAX_RANGES 32

/* The function whose code may be patched. Its body is
 *   nopw 0(%rax,%rax)   movabs $imm64,%rax   ret
 * which puts the immediate on an 8-byte boundary. */
#define TG_CODE_GPA 0x201000
#define TG_CODE_IMM_GPA 0x201008
#define TG_CODE_VALUE 0xc0dec0de00000001

/* The page tables: one PML4, one PDPT, TG_MAP_GIB page directories of 2 MiB
 * pages, identity mapping everything below TG_MAP_END. */
#define TG_CR3 0x300000
#define TG_PDPT_GPA 0x301000
#define TG_PD_GPA 0x302000

/* Registers of CPU 0 from the ready line on. */
#define TG_R12 0x1212121200000c12
#define TG_R13 0x1313131300000d13
#define TG_R14 0x1414141400000e14
#define TG_R15 0x1515151500000f15
#define TG_FS_BASE 0x00001111f5f50000
#define TG_GS_BASE 0x0000222296960000
#define TG_KERNEL_GS_BASE 0xffff8888a7a70000
#define TG_LSTAR 0xffffffff81a00040
#define TG_STAR 0x0023001000000000
#define TG_DR0 0x00000000d0d0d000

/* Values of tg_info.fill_kind. The words that are not filled are zero, except
 * that SeaBIOS (pc, q35; not microvm) leaves some 130 KiB of its own in RAM it
 * calls usable, about 16 MiB below the end of the RAM under 4 GiB. */
#define TG_FILL_NONE 0  /* nothing */
#define TG_FILL_PAGE 1  /* the first and the last word of every page */
#define TG_FILL_WORDS 2 /* every word */

#ifndef __ASSEMBLER__

#ifdef __cplusplus
#include <cstdint>
#define TG_FUNCTION constexpr
#define TG_U64 std::uint64_t
#else
#include <stdint.h>
#define TG_FUNCTION static inline
#define TG_U64 uint64_t
#endif

/* One piece of RAM as the firmware's memory map lists it. */
struct tg_range {
    TG_U64 start;
    TG_U64 size;
};

struct tg_info {
    TG_U64 magic;
    TG_U64 counter;   /* goes up for ever */
    TG_U64 echo;      /* write here: the guest prints the new value */
    TG_U64 seen_echo; /* the values the guest reported or expects */
    TG_U64 seen_code;
    TG_U64 seen_r12;
    TG_U64 seen_r13;
    TG_U64 seen_r14;
    TG_U64 seen_r15;
    TG_U64 ram_bytes; /* sum of all ranges, as in the ready line */
    TG_U64 fill_kind;
    TG_U64 fill_bytes;  /* how much RAM the fill covers: this many bytes of
                         * the whole pages in ranges, from TG_FILL_START up */
    TG_U64 range_count; /* valid entries of ranges */
    struct tg_range ranges[TG_INFO_MAX_RANGES];
};

/* The word at guest physical address gpa (a multiple of 8) where filled. */
TG_FUNCTION TG_U64 tg_pattern(TG_U64 gpa) {
    return (gpa * TG_PATTERN_MUL) ^ TG_PATTERN_XOR;
}

#undef TG_FUNCTION
#undef TG_U64

#endif /* __ASSEMBLER__ */

#endif
