// SPDX-License-Identifier: MIT
#include "drivers/kvm/walk/vm_listing.h"

#include "drivers/kvm/bpf/vm_records.h"

#include <algorithm>
#include <cstring>
#include <fmt/format.h>
#include <set>
#include <utility>

namespace vmemfs::kvm {
namespace {

class Parser {
public:
  explicit Parser(std::span<const std::byte> records) : rest_{records} {}

  Result<Listing> parse() {
    while (!rest_.empty()) {
      if (auto taken = take_record(); !taken) {
        return tl::unexpected{std::move(taken.error())};
      }
    }
    std::ranges::sort(listing_.vcpus);
    const auto [first, last] = std::ranges::unique(listing_.vcpus);
    listing_.vcpus.erase(first, last);
    return std::move(listing_);
  }

private:
  Result<void> take_record() {
    vm_record_header header{};
    if (rest_.size() < sizeof(header)) {
      return malformed("it ends within a record");
    }
    std::memcpy(&header, rest_.data(), sizeof(header));
    switch (header.kind) {
    case VM_RECORD_VM: return take<vm_record_vm>(header);
    case VM_RECORD_SLOT: return take<vm_record_slot>(header);
    case VM_RECORD_END: return take<vm_record_end>(header);
    case VM_RECORD_VCPU: return take<vm_record_vcpu>(header);
    default: return malformed(fmt::format("it has a record of kind {}", header.kind));
    }
  }

  template <typename Record> Result<void> take(const vm_record_header& header) {
    Record record{};
    if (header.size != sizeof(record) || rest_.size() < sizeof(record)) {
      return malformed(fmt::format("a record of kind {} has {} bytes, and {} are there", header.kind,
                                   header.size, rest_.size()));
    }
    std::memcpy(&record, rest_.data(), sizeof(record));
    rest_ = rest_.subspan(sizeof(record));
    return add(record);
  }

  Result<void> add(const vm_record_vm& record) {
    vm_ = record.header.vm;
    const ListedVm vm{record.header.vm, static_cast<pid_t>(record.process), record.generation};
    if (seen_.emplace(vm.key, vm.process).second) {
      listing_.vms.push_back(vm);
    }
    return {};
  }

  Result<void> add(const vm_record_slot& record) {
    if (record.header.vm != vm_ || listing_.end) {
      return malformed("a slot is not behind its VM");
    }
    listing_.slots.push_back(
        {record.gfn, record.pages, record.hva, record.flags, record.id, record.address_space});
    return {};
  }

  Result<void> add(const vm_record_end& record) {
    if (record.header.vm != vm_ || listing_.end) {
      return malformed("the end of the slots is not behind their VM");
    }
    listing_.end = {record.generation, record.next_gfn, record.complete != 0, record.same_slots != 0};
    return {};
  }

  Result<void> add(const vm_record_vcpu& record) {
    listing_.vcpus.push_back({record.id, static_cast<pid_t>(record.thread)});
    return {};
  }

  static tl::unexpected<Error> malformed(const std::string& why) {
    return fail(ErrorKind::source_failed, "kvm",
                fmt::format("cannot use the list of VMs that the BPF program wrote: {}", why));
  }

  std::span<const std::byte> rest_;
  Listing listing_;
  std::set<std::pair<VmKey, pid_t>> seen_;
  VmKey vm_ = 0; ///< of the last VM record
};

} // namespace

Result<Listing> parse_listing(std::span<const std::byte> records) { return Parser{records}.parse(); }

} // namespace vmemfs::kvm
