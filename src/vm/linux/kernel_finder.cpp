// SPDX-License-Identifier: MIT
#include "vm/linux/kernel_finder.h"

#include "arch/x86_64/page_walk.h"
#include "arch/x86_64/registers.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <fmt/format.h>
#include <map>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace vmemfs {
namespace {

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
      : memory_{memory}, end_{LinuxKernelFinder::Clock::now() + limit} {}

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
    if (pages_.size() >= kMaxPages || LinuxKernelFinder::Clock::now() >= end_) {
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
  const LinuxKernelFinder::Clock::time_point end_;
};

/// Examines one VMCOREINFO.
class Examination {
public:
  Examination(AddressSpace& memory, Vmcoreinfo info, Gpa page, std::chrono::seconds limit)
      : kernel_{.info = std::move(info), .page = page}, tables_{memory, limit}, read_{std::ref(tables_)} {}

  /// nullopt: none of the vCPUs runs this kernel.
  [[nodiscard]] std::optional<LinuxKernel> run(std::span<const RegisterSet> vcpus) {
    if (!kernel_.info.phys_base || !is_image(kernel_.info.swapper_pg_dir) ||
        physical(kernel_.info.swapper_pg_dir).page_offset() != 0) {
      return std::nullopt;
    }
    const auto running = std::ranges::find_if(vcpus, [this](const RegisterSet& vcpu) { return runs(vcpu); });
    if (running == vcpus.end()) {
      return std::nullopt;
    }
    kernel_.paging = {.mode = levels_ == PageTables::kLevels ? x86_64::PagingMode::level4
                                                             : x86_64::PagingMode::level5,
                      .root = physical(kernel_.info.swapper_pg_dir),
                      .no_execute = true};
    const PageTables kernel_tables{physical(kernel_.info.swapper_pg_dir), levels_, read_};
    find_direct_map(kernel_tables);
    find_image(kernel_tables);
    return kernel_;
  }

private:
  static bool is_image(std::uint64_t address) { return address >= kImageBase && address < kImageEnd; }

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

std::optional<LinuxKernel> examine(AddressSpace& memory, Gpa page, std::span<const RegisterSet> vcpus,
                                   std::chrono::seconds limit) {
  std::vector<std::byte> bytes(kMaxVmcoreinfo);
  bytes.resize(copy(memory, page, bytes));
  auto info = parse_vmcoreinfo(text_of(bytes));
  return info ? Examination{memory, std::move(*info), page, limit}.run(vcpus) : std::nullopt;
}

/// One search of main memory. Memory that the guest has never touched is left out.
class Search {
public:
  Search(AddressSpace& memory, std::span<const RegisterSet> vcpus, Gpa from, const KernelSearchLimits& limits)
      : memory_{memory}, vcpus_{vcpus}, limits_{limits}, position_{from}, buffer_(AddressSpace::kMaxRead) {}

  [[nodiscard]] std::optional<LinuxKernel> run() {
    MemorySearch search{memory_};
    for (const Region& region : search.map().regions()) {
      if (region.kind != RegionKind::ram) {
        continue;
      }
      position_ = std::max(position_, region.range.begin);
      while (position_ < region.range.end) {
        const Gpa end = next_held(search, region);
        if (auto found = search_until(end)) {
          return found;
        }
        if (end_ != End::none) {
          return std::nullopt;
        }
      }
    }
    return std::nullopt;
  }

  /// Where a search that reached a limit is to go on; nullopt: it has reached the end of memory, or failed.
  [[nodiscard]] std::optional<Gpa> cut_at() const {
    return end_ == End::limit ? std::optional{position_} : std::nullopt;
  }

  /// Why nothing was found.
  [[nodiscard]] std::string reason() const {
    switch (end_) {
    case End::limit: return "the search of the guest's memory took too long; it goes on at the next read";
    case End::failure: return "the guest's memory cannot be read; see last_error in control";
    case End::none: break;
    }
    return candidates_ == 0
               ? "no VMCOREINFO of a Linux kernel is in the guest's memory"
               : fmt::format("{} VMCOREINFO of a Linux kernel in memory, but no vCPU runs a kernel "
                             "that one of them describes",
                             candidates_);
  }

private:
  enum class End : std::uint8_t { none, limit, failure };

  /// Moves to the next memory that the guest has touched; returns its end.
  [[nodiscard]] Gpa next_held(MemorySearch& search, const Region& region) {
    const auto rest = [&] { return MemoryMap::Stretch{&region, {position_, region.range.end}}; };
    position_ = std::min(position_ + search.find(rest(), MemoryUse::held).before, region.range.end);
    if (position_ == region.range.end) {
      return position_;
    }
    position_ = position_.page_start();
    const Gpa end = position_ + search.find(rest(), MemoryUse::sparse).before;
    return std::min(std::max(end, position_ + 1), region.range.end);
  }

  [[nodiscard]] std::optional<LinuxKernel> search_until(Gpa end) {
    while (position_ < end && end_ == End::none) {
      if (LinuxKernelFinder::Clock::now() >= deadline_) {
        end_ = End::limit;
        return std::nullopt;
      }
      const Gpa begin = position_;
      const std::size_t size = std::min<std::uint64_t>(buffer_.size(), end - begin);
      ReadPiece piece{begin, std::span{buffer_}.first(size), 0, std::nullopt};
      memory_.copy({&piece, 1});
      if (auto found = search_bytes(piece.buffer.first(piece.done))) {
        return found;
      }
      if (piece.failure && piece.failure != ErrorKind::bad_page && piece.failure != ErrorKind::hole) {
        end_ = End::failure;
      }
      // At a page that cannot be read, or at the last part of one.
      if (end_ == End::none && (piece.failure || position_ == begin)) {
        position_ = position_ + kPageSize;
      }
    }
    return std::nullopt;
  }

  /// Whole pages at position_, which moves behind those that were examined.
  [[nodiscard]] std::optional<LinuxKernel> search_bytes(std::span<const std::byte> bytes) {
    for (; bytes.size() >= kPageSize; bytes = bytes.subspan(kPageSize), position_ = position_ + kPageSize) {
      if (!text_of(bytes).starts_with(kVmcoreinfoBegin)) {
        continue;
      }
      if (candidates_++ == LinuxKernelFinder::kMaxCandidates ||
          LinuxKernelFinder::Clock::now() >= deadline_) {
        end_ = End::limit;
        return std::nullopt;
      }
      if (auto found = examine(memory_, position_, vcpus_, limits_.examination)) {
        return found;
      }
    }
    return std::nullopt;
  }

  AddressSpace& memory_;
  const std::span<const RegisterSet> vcpus_;
  const KernelSearchLimits limits_;
  Gpa position_;
  std::vector<std::byte> buffer_;
  unsigned candidates_ = 0;
  End end_ = End::none;
  const LinuxKernelFinder::Clock::time_point deadline_ = LinuxKernelFinder::Clock::now() + limits_.search;
};

} // namespace

Result<LinuxKernel> LinuxKernelFinder::find(std::span<const RegisterSet> vcpus) {
  const Clock::time_point asked = Clock::now();
  const MutexLock lock{mutex_};
  if (page_) {
    if (auto kernel = examine(memory_, *page_, vcpus, limits_.examination)) {
      return std::move(*kernel);
    }
    page_.reset();
  }
  // Calls that waited while a search was cut do not continue it one after the other.
  if (Clock::now() < next_search_ || asked < cut_) {
    return fail(ErrorKind::no_data, "linux", reason_);
  }
  Search search{memory_, vcpus, search_from_, limits_};
  auto kernel = search.run();
  search_from_ = search.cut_at().value_or(Gpa{0});
  if (kernel) {
    page_ = kernel->page;
    return std::move(*kernel);
  }
  reason_ = search.reason();
  if (search.cut_at()) {
    cut_ = Clock::now();
  } else {
    next_search_ = Clock::now() + kSearchInterval;
  }
  return fail(ErrorKind::no_data, "linux", reason_);
}

} // namespace vmemfs
