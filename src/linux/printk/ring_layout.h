// SPDX-License-Identifier: MIT
// Addresses and structures of the ring buffer of a kernel's log, as its VMCOREINFO and its memory have them.
#pragma once

#include "core/error.h"
#include "linux/kernel_memory.h"
#include "linux/vmcoreinfo.h"

#include <cstddef>
#include <cstdint>

namespace vmemfs {

/// Checked: all sizes are within the limits, and all members within their structures.
struct RingLayout {
  static constexpr unsigned kMaxDataBits = 26;       ///< 64 MiB of text
  static constexpr unsigned kMaxCountBits = 21;      ///< as the kernel has them with so much text
  static constexpr std::size_t kMaxStructure = 1024; ///< bytes of a descriptor, or of what it describes

  struct Descriptor {
    std::size_t size;
    std::size_t state;
    std::size_t begin; ///< of its text in the data ring
    std::size_t next;  ///< end of its text, where the next one begins
  };
  struct Info {
    std::size_t size;
    std::size_t sequence;
    std::size_t time;
    std::size_t text_length;
  };

  std::uint64_t descriptors; ///< address of the array
  std::uint64_t infos;       ///< address of the array
  std::uint64_t data;        ///< address of the data ring
  unsigned count_bits;       ///< of both arrays
  unsigned data_bits;
  std::uint64_t head; ///< address of the number of the newest descriptor
  std::uint64_t tail; ///< and of the oldest one
  Descriptor descriptor;
  Info info;

  [[nodiscard]] std::uint64_t count() const { return std::uint64_t{1} << count_bits; }
  [[nodiscard]] std::uint64_t data_bytes() const { return std::uint64_t{1} << data_bits; }
};

/// Errors as of kernel_log().
[[nodiscard]] Result<RingLayout> ring_layout(KernelMemory& memory, const Vmcoreinfo& info);

} // namespace vmemfs
