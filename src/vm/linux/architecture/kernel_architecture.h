// SPDX-License-Identifier: MIT
// The properties of one architecture's Linux kernels: where they lie and what their page tables are.
#pragma once

#include "arch/read_entry.h"
#include "core/gpa.h"
#include "core/register_set.h"
#include "image/elf_core.h"
#include "linux/symbols/image_range.h"
#include "linux/vmcoreinfo.h"
#include "vm/linux/architecture/kernel_paging.h"

#include <cstdint>
#include <optional>
#include <string_view>

namespace vmemfs {

/// The place of a kernel as its VMCOREINFO describes it, which is not proven.
struct KernelSpace {
  KernelPaging paging;     ///< its own tables
  std::uint64_t offset;    ///< virtual less physical addresses of its image, which is contiguous
  KernelImageRange bounds; ///< virtual addresses that an image can have

  [[nodiscard]] bool contains(std::uint64_t address) const {
    return address >= bounds.begin && address < bounds.end;
  }
  [[nodiscard]] Gpa physical(std::uint64_t address) const { return Gpa{address - offset}; }
};

/// Immutable. A new architecture is a class, and a line in architecture_of().
class KernelArchitecture {
public:
  KernelArchitecture() = default;
  KernelArchitecture(const KernelArchitecture&) = delete;
  KernelArchitecture& operator=(const KernelArchitecture&) = delete;
  virtual ~KernelArchitecture() = default;

  [[nodiscard]] virtual std::string_view name() const = 0; ///< as in uname -m
  [[nodiscard]] virtual ElfMachine machine() const = 0;

  /// nullopt: the text is not one of this architecture, or makes no sense.
  [[nodiscard]] virtual std::optional<KernelSpace> space(const Vmcoreinfo& info) const = 0;

  /// The kernel's own tables if those of a vCPU have its image where `space` says that it is; nullopt also if
  /// the registers do not tell.
  [[nodiscard]] virtual std::optional<KernelPaging> run_by(const RegisterSet& vcpu, const KernelSpace& space,
                                                           const ReadEntry& read) const = 0;

  /// Where the kernel seems to have all memory.
  struct DirectMap {
    std::uint64_t address; ///< virtual, of guest physical address 0
    Gpa begin;             ///< the lowest memory that is mapped there
  };
  [[nodiscard]] virtual std::optional<DirectMap> direct_map(const KernelPaging& paging,
                                                            const ReadEntry& read) const = 0;

  /// The image whose first byte of code is at `text`, which is within the bounds: pages that were only needed
  /// at boot are not mapped any more. Empty: nothing is mapped where it should be.
  [[nodiscard]] virtual KernelImageRange image(const KernelSpace& space, std::uint64_t text,
                                               const ReadEntry& read) const = 0;
};

[[nodiscard]] const KernelArchitecture& x86_64_kernels();
[[nodiscard]] const KernelArchitecture& aarch64_kernels();

/// nullptr: the text does not say, or it is another one.
[[nodiscard]] const KernelArchitecture* architecture_of(const Vmcoreinfo& info);

} // namespace vmemfs
