// SPDX-License-Identifier: MIT
#include "arch/x86_64/page_walk.h"
#include "arch/x86_64/registers.h"
#include "vm/linux/architecture/kernel_architecture.h"

#include <algorithm>
#include <array>

namespace vmemfs {
namespace {

using x86_64::PageTables;
using x86_64::Paging;
using x86_64::PagingMode;
using x86_64::Register;

/// Where the kernel is linked for; its virtual and physical addresses differ by this, less phys_base.
constexpr std::uint64_t kImageBase = 0xffff'ffff'8000'0000;
constexpr std::uint64_t kImageEnd = 0xffff'ffff'c000'0000; ///< modules begin there
constexpr std::uint64_t kLargePage = 2U << 20U;
/// Top entries of the kernel: the one of the direct map or one after it is the first (with the entry before
/// it a process has its LDT), the last one has the kernel's image.
constexpr std::uint64_t kFirstKernelEntry = 273;
constexpr std::uint64_t kImageEntry = 511;

Paging paging_of(Gpa root, bool five_levels) {
  return {.mode = five_levels ? PagingMode::level5 : PagingMode::level4, .root = root, .no_execute = true};
}

class X86Kernel final : public KernelArchitecture {
public:
  [[nodiscard]] std::string_view name() const override { return "x86_64"; }
  [[nodiscard]] ElfMachine machine() const override { return ElfMachine::x86_64; }

  [[nodiscard]] std::optional<KernelSpace> space(const Vmcoreinfo& info) const override {
    if (!info.phys_base) {
      return std::nullopt;
    }
    KernelSpace space{.paging = Paging{},
                      .offset = kImageBase - static_cast<std::uint64_t>(*info.phys_base),
                      .bounds = {kImageBase, kImageEnd}};
    const Gpa root = space.physical(info.swapper_pg_dir);
    if (!space.contains(info.swapper_pg_dir) || root.page_offset() != 0) {
      return std::nullopt;
    }
    space.paging = paging_of(root, info.five_levels);
    return space;
  }

  /// Whether the vCPU's page tables share the image with the kernel's. While it is in user space with page
  /// table isolation, its root is the page after the kernel's.
  [[nodiscard]] std::optional<KernelPaging> run_by(const RegisterSet& vcpu, const KernelSpace& space,
                                                   const ReadEntry& read) const override {
    constexpr std::uint64_t kPagingOn = 1ULL << 31U;
    constexpr std::uint64_t kPhysicalAddressExtension = 1ULL << 5U;
    constexpr std::uint64_t kLa57 = 1ULL << 12U;
    constexpr std::uint64_t kRoot = 0x000f'ffff'ffff'f000;
    const std::uint64_t cr4 = vcpu.get(Register::cr4).value_or(0);
    const std::uint64_t cr3 = vcpu.get(Register::cr3).value_or(0) & kRoot;
    if ((vcpu.get(Register::cr0).value_or(0) & kPagingOn) == 0 || (cr4 & kPhysicalAddressExtension) == 0) {
      return std::nullopt;
    }
    const bool five_levels = (cr4 & kLa57) != 0;
    const unsigned levels = five_levels ? PageTables::kLevelsWithLa57 : PageTables::kLevels;
    const Gpa swapper = root_of(space.paging);
    const auto image = PageTables{swapper, levels, read}.top_entry(kImageEntry);
    const bool runs =
        image && std::ranges::any_of(std::array{cr3, cr3 & ~kPageSize}, [&](std::uint64_t root) {
          const PageTables tables{Gpa{root}, levels, read};
          return tables.top_entry(kImageEntry) == image &&
                 tables.translate(swapper.value() + space.offset) == swapper;
        });
    return runs ? std::optional{KernelPaging{paging_of(swapper, five_levels)}} : std::nullopt;
  }

  [[nodiscard]] std::optional<DirectMap> direct_map(const KernelPaging& paging,
                                                    const ReadEntry& read) const override {
    const auto first = PageTables{root_of(paging), levels_of(paging), read}.first_mapped(kFirstKernelEntry);
    return first ? std::optional{DirectMap{*first, Gpa{0}}} : std::nullopt;
  }

  /// To the last large page that is where it belongs.
  [[nodiscard]] KernelImageRange image(const KernelSpace& space, std::uint64_t text,
                                       const ReadEntry& read) const override {
    KernelImageRange image{text & ~(kLargePage - 1), text & ~(kLargePage - 1)};
    for (std::uint64_t address = image.begin; address < kImageEnd; address += kLargePage) {
      const auto place = walk(space.paging, address, read);
      if (place && place->gpa == space.physical(address)) {
        image.end = address + kLargePage;
      }
    }
    return image;
  }
};

} // namespace

const KernelArchitecture& x86_64_kernels() {
  static const X86Kernel kKernels;
  return kKernels;
}

} // namespace vmemfs
