// SPDX-License-Identifier: MIT
#include "drivers/kvm/layout/slot_layout.h"

#include <algorithm>
#include <array>
#include <fmt/format.h>
#include <linux/kvm.h>
#include <string_view>
#include <utility>

namespace vmemfs::kvm {
namespace {

constexpr std::string_view kOrigin = "kvm";

/// KVM_MEM_GUEST_MEMFD, which older headers do not have.
constexpr std::uint32_t kGuestMemfd = 4;
/// KVM_USER_MEM_SLOTS of x86: slots from here on are KVM's own pages, such as that of the local APIC.
constexpr int kFirstOwnSlot = 32764;

tl::unexpected<Error> wrong_slot(const Slot& slot, std::string_view why) {
  return fail(
      ErrorKind::source_failed, kOrigin,
      fmt::format("cannot use the VM's memory slot {} at {:#x}: {}", slot.id, slot.gfn << kPageShift, why));
}

Result<void> check(const Slot& slot, Gpa above) {
  constexpr std::uint64_t kMaxPages = kGpaLimit >> kPageShift;
  if (slot.pages == 0 || slot.pages > kMaxPages || slot.gfn > kMaxPages - slot.pages) {
    return wrong_slot(slot, "its size is none");
  }
  if (slot.hva % kPageSize != 0 || slot.hva > ~std::uint64_t{0} - (slot.pages << kPageShift)) {
    return wrong_slot(slot, "its address in the process is none");
  }
  if (Gfn{slot.gfn}.gpa() < above) {
    return wrong_slot(slot, "it overlaps the one before");
  }
  return {};
}

/// Files of devices, as against those in memory and on disks.
bool is_device(const Vma& vma) {
  constexpr auto kMemory =
      std::to_array<std::string_view>({"/dev/shm/", "/dev/hugepages", "/dev/zero", "/dev/mem_"});
  const std::string_view path = vma.path;
  if (path.starts_with("anon_inode:")) {
    return true;
  }
  return path.starts_with("/dev/") &&
         std::ranges::none_of(kMemory, [&](std::string_view start) { return path.starts_with(start); });
}

/// "memfd:guest", "/var/lib/vm/memory", "anonymous".
std::string name_of(const Vma& vma) {
  std::string_view name = vma.path;
  constexpr std::string_view kDeleted = " (deleted)";
  if (name.ends_with(kDeleted)) {
    name.remove_suffix(kDeleted.size());
  }
  if (name.starts_with("/memfd:")) {
    name.remove_prefix(1);
  }
  return name.empty() ? "anonymous" : std::string{name};
}

class Builder {
public:
  Builder(const std::vector<Vma>& maps, std::uint64_t generation) : maps_{maps} {
    result_.layout.stamp = generation;
  }

  Result<void> add(const Slot& slot) {
    if (auto good = check(slot, end_); !good) {
      return good;
    }
    const GpaRange range{Gfn{slot.gfn}.gpa(), Gfn{slot.gfn + slot.pages}.gpa()};
    end_ = range.end;
    if (slot.address_space != 0) {
      return {}; // of system management mode
    }
    if (slot.id >= kFirstOwnSlot) {
      leave_out(range, "a page of KVM itself");
    } else if ((slot.flags & kGuestMemfd) != 0) {
      leave_out(range, "private memory of the guest (guest_memfd), which no process of the host can read");
    } else {
      add_parts(slot, range);
    }
    const std::size_t count = result_.layout.ranges.size() + result_.left_out.size();
    return count <= kMaxRanges
               ? Result<void>{}
               : wrong_slot(slot, fmt::format("the memory is in more than {} pieces", kMaxRanges));
  }

  SlotLayout take() {
    normalize(result_.layout);
    return std::move(result_);
  }

private:
  /// A slot may lie in several mappings, of different kinds.
  void add_parts(const Slot& slot, const GpaRange& range) {
    Gpa at = range.begin;
    while (at < range.end && result_.layout.ranges.size() + result_.left_out.size() <= kMaxRanges) {
      const Hva hva = slot.hva + (at - range.begin);
      const Vma* const vma = find_vma(maps_, hva);
      const Hva mapped_until = vma != nullptr ? vma->range.end : next_mapped(hva);
      const GpaRange part{at, at + std::min(mapped_until - hva, range.end - at)};
      if (vma == nullptr) {
        leave_out(part, "the process has nothing mapped there");
      } else if (is_device(*vma)) {
        leave_out(part, "memory of a device");
      } else if (!vma->readable) {
        leave_out(part, "the process has it mapped without read access");
      } else {
        add_range(slot, part, hva, *vma);
      }
      at = part.end;
    }
  }

  void add_range(const Slot& slot, const GpaRange& part, Hva hva, const Vma& vma) {
    const bool rom = (slot.flags & KVM_MEM_READONLY) != 0;
    const std::uint64_t in_vma = hva - vma.range.begin;
    result_.layout.ranges.push_back({.range = part,
                                     .kind = rom ? RegionKind::rom : RegionKind::ram,
                                     .writable = !rom && vma.writable,
                                     .name = name_of(vma),
                                     .offset = vma.has_file() ? vma.file_offset + in_vma : in_vma,
                                     .hva = hva});
  }

  /// Joined with the one before if it continues that.
  void leave_out(const GpaRange& range, std::string_view why) {
    auto& all = result_.left_out;
    if (!all.empty() && all.back().range.end == range.begin && all.back().why == why) {
      all.back().range.end = range.end;
    } else {
      all.push_back({range, std::string{why}});
    }
  }

  [[nodiscard]] Hva next_mapped(Hva hva) const {
    const auto next =
        std::ranges::upper_bound(maps_, hva, {}, [](const Vma& vma) { return vma.range.begin; });
    return next == maps_.end() ? ~Hva{0} : next->range.begin;
  }

  const std::vector<Vma>& maps_;
  SlotLayout result_;
  Gpa end_; ///< of the slot before
};

} // namespace

Result<SlotLayout> layout_from_slots(std::span<const Slot> slots, const std::vector<Vma>& maps,
                                     std::uint64_t generation) {
  Builder builder{maps, generation};
  for (const Slot& slot : slots) {
    if (auto added = builder.add(slot); !added) {
      return tl::unexpected{std::move(added.error())};
    }
  }
  return builder.take();
}

} // namespace vmemfs::kvm
