// SPDX-License-Identifier: MIT
#include "vm/linux/kernel_examination.h"

#include "arch/read_entry.h"
#include "vm/linux/architecture/kernel_architecture.h"

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
      : kernel_{.info = std::move(info), .page = page}, tables_{memory, limit}, read_{std::ref(tables_)} {
    kernel_.architecture = architecture_of(kernel_.info);
    if (kernel_.architecture != nullptr) {
      space_ = kernel_.architecture->space(kernel_.info);
    }
  }

  /// nullopt: none of the vCPUs runs this kernel.
  [[nodiscard]] std::optional<LinuxKernel> run(std::span<const RegisterSet> vcpus) {
    for (const RegisterSet& vcpu : vcpus) {
      if (const auto paging = space_ ? kernel_.architecture->run_by(vcpu, *space_, read_) : std::nullopt) {
        space_->paging = *paging;
        return complete();
      }
    }
    return std::nullopt;
  }

  /// nullopt: its page tables do not have its image where VMCOREINFO says that it is. How many levels they
  /// have only VMCOREINFO says.
  [[nodiscard]] std::optional<LinuxKernel> run() {
    const auto& stext = kernel_.info.stext;
    if (!space_ || !stext || !space_->contains(*stext)) {
      return std::nullopt;
    }
    for (const std::uint64_t address : {kernel_.info.swapper_pg_dir, *stext}) {
      if (!maps(address, space_->physical(address))) {
        return std::nullopt;
      }
    }
    return complete();
  }

private:
  [[nodiscard]] bool maps(std::uint64_t address, Gpa gpa) const {
    const auto place = walk(space_->paging, address, read_);
    return place && place->gpa == gpa;
  }

  [[nodiscard]] LinuxKernel complete() {
    kernel_.paging = space_->paging;
    find_direct_map();
    find_image();
    return kernel_;
  }

  void find_direct_map() {
    const auto map = kernel_.architecture->direct_map(space_->paging, read_);
    const auto has = [&](Gpa gpa) { return gpa >= map->begin && maps(map->address + gpa.value(), gpa); };
    if (map && has(kernel_.page) && has(space_->physical(kernel_.info.swapper_pg_dir))) {
      kernel_.direct_map = map->address;
      kernel_.direct_map_begin = map->begin;
    }
  }

  void find_image() {
    const auto& stext = kernel_.info.stext;
    if (!stext || !space_->contains(*stext)) {
      return;
    }
    const KernelImageRange image = kernel_.architecture->image(*space_, *stext, read_);
    kernel_.image_address = image.begin;
    kernel_.image = {space_->physical(image.begin), space_->physical(image.end)};
  }

  LinuxKernel kernel_;
  std::optional<KernelSpace> space_;
  TableReader tables_;
  const ReadEntry read_;
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
