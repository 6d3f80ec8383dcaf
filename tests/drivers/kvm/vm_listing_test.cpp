// SPDX-License-Identifier: MIT
#include "drivers/kvm/bpf/vm_records.h"
#include "drivers/kvm/walk/vm_listing.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <span>
#include <vector>

namespace vmemfs::kvm {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

constexpr std::uint64_t kVm = 0xffff888012345000;
constexpr std::uint64_t kOther = 0xffff888012346000;

class Records {
public:
  Records& vm(std::uint64_t key, std::uint32_t process, std::uint64_t generation) {
    return add(vm_record_vm{header<vm_record_vm>(VM_RECORD_VM, key), generation, process, 0});
  }
  Records& slot(std::uint64_t key, std::uint64_t gfn) {
    return add(vm_record_slot{header<vm_record_slot>(VM_RECORD_SLOT, key), gfn, 16, 0x7f0000000000, 2, 3, 1});
  }
  Records& end(std::uint64_t key, std::uint64_t generation) {
    return add(vm_record_end{header<vm_record_end>(VM_RECORD_END, key), generation, 17, 1, 1});
  }
  Records& vcpu(std::uint32_t id, std::uint32_t thread) {
    return add(vm_record_vcpu{header<vm_record_vcpu>(VM_RECORD_VCPU, kVm), id, thread});
  }
  template <typename Record> Records& add(const Record& record) {
    const auto more = std::as_bytes(std::span{&record, 1});
    bytes.insert(bytes.end(), more.begin(), more.end());
    return *this;
  }

  std::vector<std::byte> bytes;

private:
  template <typename Record> static vm_record_header header(std::uint32_t kind, std::uint64_t key) {
    return {kind, sizeof(Record), key};
  }
};

TEST(VmListing, WalkWithoutVms_IsEmpty) {
  const auto listing = parse_listing({});
  ASSERT_TRUE(listing.has_value());
  EXPECT_THAT(listing->vms, IsEmpty());
  EXPECT_FALSE(listing->end);
}

TEST(VmListing, SlotsAndVcpus_AreThoseOfTheRecords) {
  Records records;
  records.vm(kVm, 4711, 8).slot(kVm, 0).slot(kVm, 16).end(kVm, 8).vcpu(1, 4713).vcpu(0, 4712);
  const auto listing = parse_listing(records.bytes);
  ASSERT_TRUE(listing.has_value()) << listing.error().message();
  EXPECT_THAT(listing->vms, ElementsAre(ListedVm{kVm, 4711, 8}));
  EXPECT_THAT(listing->slots,
              ElementsAre(Slot{0, 16, 0x7f0000000000, 2, 3, 1}, Slot{16, 16, 0x7f0000000000, 2, 3, 1}));
  EXPECT_EQ(listing->end, (SlotsEnd{8, 17, true, true}));
  EXPECT_THAT(listing->vcpus, ElementsAre(ListedVcpu{0, 4712}, ListedVcpu{1, 4713}));
}

TEST(VmListing, DuplicatedFiles_GiveAVmAndAVcpuOnce) {
  Records records;
  records.vm(kVm, 4711, 8).vm(kOther, 4711, 2).vm(kVm, 4711, 8).vcpu(0, 4712).vcpu(0, 4712).vm(kOther, 5, 2);
  const auto listing = parse_listing(records.bytes);
  ASSERT_TRUE(listing.has_value());
  EXPECT_THAT(listing->vms,
              ElementsAre(ListedVm{kVm, 4711, 8}, ListedVm{kOther, 4711, 2}, ListedVm{kOther, 5, 2}));
  EXPECT_THAT(listing->vcpus, ElementsAre(ListedVcpu{0, 4712}));
}

TEST(VmListing, EveryTruncation_IsAnErrorOrAWholeNumberOfRecords) {
  Records records;
  records.vm(kVm, 4711, 8);
  const std::size_t first = records.bytes.size();
  records.slot(kVm, 0);
  const std::size_t second = records.bytes.size();
  for (std::size_t size = 0; size <= second; ++size) {
    const bool whole = size == 0 || size == first || size == second;
    EXPECT_EQ(parse_listing(std::span{records.bytes}.first(size)).has_value(), whole) << size;
  }
}

TEST(VmListing, WrongKindsAndSizes_AreRefused) {
  for (const auto& header :
       {vm_record_header{0, sizeof(vm_record_vm), kVm}, vm_record_header{99, 16, kVm},
        vm_record_header{VM_RECORD_VM, 0, kVm}, vm_record_header{VM_RECORD_SLOT, ~0U, kVm}}) {
    Records records;
    records.vm(kVm, 1, 1).add(header).vm(kVm, 1, 1);
    const auto listing = parse_listing(records.bytes);
    ASSERT_FALSE(listing.has_value());
    EXPECT_EQ(listing.error().kind, ErrorKind::source_failed);
  }
}

TEST(VmListing, SlotsOfAnotherVm_AreRefused) {
  EXPECT_FALSE(parse_listing(Records{}.slot(kVm, 0).bytes).has_value());
  EXPECT_FALSE(parse_listing(Records{}.vm(kVm, 1, 1).slot(kOther, 0).bytes).has_value());
  EXPECT_FALSE(parse_listing(Records{}.vm(kVm, 1, 1).end(kOther, 0).bytes).has_value());
  EXPECT_FALSE(parse_listing(Records{}.vm(kVm, 1, 1).end(kVm, 1).slot(kVm, 0).bytes).has_value());
  EXPECT_FALSE(parse_listing(Records{}.vm(kVm, 1, 1).end(kVm, 1).end(kVm, 1).bytes).has_value());
}

TEST(VmListing, HighestBitOfTheGeneration_MeansAChange) {
  EXPECT_FALSE(is_changing(7));
  EXPECT_TRUE(is_changing(std::uint64_t{1} << 63U));
}

} // namespace
} // namespace vmemfs::kvm
