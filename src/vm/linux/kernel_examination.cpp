// SPDX-License-Identifier: MIT
#include "vm/linux/kernel_examination.h"

#include "arch/x86_64/page_walk.h"
#include "arch/x86_64/registers.h"

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstring>
#include <functional>
#include <map>
#include <string_view>
#include <utility>
#include <vector>

namespace vmemfs {
namespace {

using Clock = std::chrono::steady_clock;
using x86_64::PageTables;
using x86_64::Register;

/// Where the kernel is linked for; its virtual and physical addresses differ by this, less phys_base.
constexpr std::uint64_t kImageBase = 0xffff'ffff'8000'0000;
constexpr std::uint64_t kImageEnd = 0xffff'ffff'c000'0000; ///< modules begin there
constexpr std::uint64_t kLargePage = 2U << 20U;
/// Top entries of the kernel: the one of the direct map or one after it is the first (with the entry before
/// it a process has its LDT), the last one has the kernel's image.
constexpr std::uint64_t kFirstKernelEntry = 273;
constexpr std::uint64_t kImageEntry = 511;

std::size_t copy(AddressSpace& memory, Gpa gpa, std::span<std::byte> buffer) {
  ReadPiece piece{gpa, buffer, 0, std::nullopt};
  memory.copy({&piece, 1});
  return piece.done;
}

std::string_view text_of(std::span<const std::byte> bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

/// Pages of page tables, each read once, whether that succeeds or not.
class TableReader {
public:
  TableReader(AddressSpace& memory, std::chrono::seconds limit)
      : memory_{memory}, end_{Clock::now() + limit} {}

  std::optional<std::uint64_t> operator()(Gpa gpa) {
    std::uint64_t entry = 0;
    const std::optional<Page>& page = page_at(gpa.page_start());
    if (!page || gpa.page_offset() > kPageSize - sizeof entry) {
      return std::nullopt;
    }
    std::memcpy(&entry, page->data() + gpa.page_offset(), sizeof entry);
    return entry;
  }

private:
  using Page = std::array<std::byte, kPageSize>;
  static constexpr std::size_t kMaxPages = 2048;

  const std::optional<Page>& page_at(Gpa begin) {
    static constexpr std::optional<Page> kNone{};
    const auto known = pages_.find(Gfn{begin});
    if (known != pages_.end()) {
      return known->second;
    }
    if (pages_.size() >= kMaxPages || Clock::now() >= end_) {
      return kNone;
    }
    std::optional<Page>& page = pages_.try_emplace(Gfn{begin}, Page{}).first->second;
    if (copy(memory_, begin, *page) != kPageSize) {
      page.reset();
    }
    return page;
  }

  AddressSpace& memory_;
  std::map<Gfn, std::optional<Page>> pages_;
  const Clock::time_point end_;
};

class Examination {
public:
  Examination(AddressSpace& memory, Vmcoreinfo info, Gpa page, std::chrono::seconds limit)
      : kernel_{.info = std::move(info), .page = page}, tables_{memory, limit}, read_{std::ref(tables_)} {}

  /// nullopt: none of the vCPUs runs this kernel.
  [[nodiscard]] std::optional<LinuxKernel> run(std::span<const RegisterSet> vcpus) {
    if (!is_plausible() ||
        std::ranges::none_of(vcpus, [this](const RegisterSet& vcpu) { return runs(vcpu); })) {
      return std::nullopt;
    }
    return complete();
  }

  /// nullopt: its page tables do not have its image where VMCOREINFO says that it is. How many levels they
  /// have only VMCOREINFO says.
  [[nodiscard]] std::optional<LinuxKernel> run() {
    const auto& stext = kernel_.info.stext;
    if (!is_plausible() || !stext || !is_image(*stext)) {
      return std::nullopt;
    }
    levels_ = kernel_.info.five_levels ? PageTables::kLevelsWithLa57 : PageTables::kLevels;
    const PageTables tables{physical(kernel_.info.swapper_pg_dir), levels_, read_};
    for (const std::uint64_t address : {kernel_.info.swapper_pg_dir, *stext}) {
      if (tables.translate(address) != physical(address)) {
        return std::nullopt;
      }
    }
    return complete();
  }

private:
  static bool is_image(std::uint64_t address) { return address >= kImageBase && address < kImageEnd; }

  [[nodiscard]] bool is_plausible() const {
    return kernel_.info.phys_base && is_image(kernel_.info.swapper_pg_dir) &&
           physical(kernel_.info.swapper_pg_dir).page_offset() == 0;
  }

  [[nodiscard]] LinuxKernel complete() {
    kernel_.paging = {.mode = levels_ == PageTables::kLevels ? x86_64::PagingMode::level4
                                                             : x86_64::PagingMode::level5,
                      .root = physical(kernel_.info.swapper_pg_dir),
                      .no_execute = true};
    const PageTables kernel_tables{physical(kernel_.info.swapper_pg_dir), levels_, read_};
    find_direct_map(kernel_tables);
    find_image(kernel_tables);
    return kernel_;
  }

  [[nodiscard]] Gpa physical(std::uint64_t address) const {
    return Gpa{address - kImageBase + static_cast<std::uint64_t>(*kernel_.info.phys_base)};
  }

  /// Whether the vCPU's page tables have the kernel's at the right place, and share its image with them.
  /// While it is in user space with page table isolation, its root is the page after the kernel's.
  [[nodiscard]] bool runs(const RegisterSet& vcpu) {
    constexpr std::uint64_t kPaging = 1ULL << 31U;
    constexpr std::uint64_t kPhysicalAddressExtension = 1ULL << 5U;
    constexpr std::uint64_t kLa57 = 1ULL << 12U;
    constexpr std::uint64_t kRoot = 0x000f'ffff'ffff'f000;
    const std::uint64_t cr4 = vcpu.get(Register::cr4).value_or(0);
    const std::uint64_t cr3 = vcpu.get(Register::cr3).value_or(0) & kRoot;
    if ((vcpu.get(Register::cr0).value_or(0) & kPaging) == 0 || (cr4 & kPhysicalAddressExtension) == 0) {
      return false;
    }
    levels_ = (cr4 & kLa57) != 0 ? PageTables::kLevelsWithLa57 : PageTables::kLevels;
    const Gpa swapper = physical(kernel_.info.swapper_pg_dir);
    const auto image = PageTables{swapper, levels_, read_}.top_entry(kImageEntry);
    return image && std::ranges::any_of(std::array{cr3, cr3 & ~kPageSize}, [&](std::uint64_t root) {
             const PageTables tables{Gpa{root}, levels_, read_};
             return tables.top_entry(kImageEntry) == image &&
                    tables.translate(kernel_.info.swapper_pg_dir) == swapper;
           });
  }

  void find_direct_map(const PageTables& tables) {
    const auto base = tables.first_mapped(kFirstKernelEntry);
    const auto maps = [&](Gpa gpa) { return tables.translate(*base + gpa.value()) == gpa; };
    if (base && maps(kernel_.page) && maps(physical(kernel_.info.swapper_pg_dir))) {
      kernel_.direct_map = base;
    }
  }

  /// From the first byte of code to the last large page that is where it belongs: pages that were only needed
  /// at boot are not mapped any more.
  void find_image(const PageTables& tables) {
    const auto& stext = kernel_.info.stext;
    if (!stext || !is_image(*stext)) {
      return;
    }
    kernel_.image_address = *stext & ~(kLargePage - 1);
    kernel_.image = {physical(kernel_.image_address), physical(kernel_.image_address)};
    for (std::uint64_t address = kernel_.image_address; address < kImageEnd; address += kLargePage) {
      if (tables.translate(address) == physical(address)) {
        kernel_.image.end = physical(address) + kLargePage;
      }
    }
  }

  LinuxKernel kernel_;
  TableReader tables_;
  const x86_64::ReadEntry read_;
  unsigned levels_ = PageTables::kLevels;
};

std::optional<Vmcoreinfo> read_vmcoreinfo(AddressSpace& memory, Gpa page) {
  std::vector<std::byte> bytes(kMaxVmcoreinfo);
  bytes.resize(copy(memory, page, bytes));
  return parse_vmcoreinfo(text_of(bytes));
}

} // namespace

std::optional<LinuxKernel> examine_kernel(AddressSpace& memory, Gpa page, std::span<const RegisterSet> vcpus,
                                          std::chrono::seconds limit) {
  auto info = read_vmcoreinfo(memory, page);
  return info ? Examination{memory, std::move(*info), page, limit}.run(vcpus) : std::nullopt;
}

std::optional<LinuxKernel> examine_kernel(AddressSpace& memory, Gpa page, std::chrono::seconds limit) {
  auto info = read_vmcoreinfo(memory, page);
  return info ? Examination{memory, std::move(*info), page, limit}.run() : std::nullopt;
}

} // namespace vmemfs
