// SPDX-License-Identifier: MIT
// Parser of QEMU's `info mtree -f`: the ranges of guest physical memory as the vCPUs see them.
//
// Format (QEMU softmmu/memory.c, mtree_print_flatview): one block per view, "FlatView #N", then ` AS "X",
// root: R` for each address space that shares it, ` Root memory region: R`, then the ranges
// `  START-LAST (prio N, TYPE): NAME[ @OFFSET][ ...][ KVM]` with an inclusive end, or `  No rendered
// FlatView`. Lines end in CR LF. Numbers and order of the blocks change from run to run, and the view
// of system management mode has a root of the misleading name "memory", so the block is found by its
// address space.
//
// Pure functions, thread-safe. The text is not trusted.
#pragma once

#include "core/error.h"
#include "core/gpa.h"

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace vmemfs {

enum class MtreeType : unsigned char {
  ram,
  rom,
  romd,   ///< flash in its readable mode
  ramd,   ///< RAM of a real device (VFIO): reading it may have side effects
  nv_ram, ///< nvdimm
  io,
};

struct MtreeRange {
  GpaRange range;
  MtreeType type = MtreeType::io;
  std::string name;         ///< of the memory region, such as pc.ram or vga.vram
  std::uint64_t offset = 0; ///< of range.begin in the memory region, in bytes
  bool kvm = false;         ///< KVM has a memory slot for it
};

/// Ranges of the address space "memory", sorted and disjoint. source_failed if there is no such view or a
/// line of it is malformed (the text quotes it).
[[nodiscard]] Result<std::vector<MtreeRange>> parse_mtree(std::string_view text);

} // namespace vmemfs
