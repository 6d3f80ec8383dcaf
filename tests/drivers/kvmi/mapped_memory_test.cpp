// SPDX-License-Identifier: MIT
// Pages that are mapped by a stand-in of /dev/kvmmem (tests/simulators/kvmi/memory_device.h): no host of the
// tests has that device, and CUSE, which could make one, cannot map. The stand-in is real files, of which
// only ioctl() and close() are replaced, so mappings, their ends and pages that vanish are the kernel's own.
// Bytes are compared with the simulator's, which are kept apart from the mapped file.
#include "drivers/kvmi/attached_vm.h"
#include "drivers/kvmi/mapping/mapping_copy.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <thread>
#include <unistd.h>

namespace vmemfs::kvmi {
namespace {

using kvmi_simulator::Dialect;
using kvmi_simulator::FaultKind;
using kvmi_simulator::Ledger;
using kvmi_simulator::MemoryDevice;
using testing::HasSubstr;

constexpr std::uint16_t kTreeMapToken = 22;
constexpr std::uint64_t kBegin = 0x100000;
constexpr std::uint64_t kPage = 4096;

enum class Abi : unsigned char { first, second };

/// A VM of which pages can be mapped.
class MappedVm {
public:
  explicit MappedVm(Abi abi, kvmi_simulator::Options options = {})
      : device_{std::make_shared<MemoryDevice>(dir_.path())} {
    ledger().is_second_abi = abi == Abi::second ? 1 : 0;
    options.device = device_;
    vm_.emplace(std::move(options));
    vm_->guest().show_in(device_);
  }

  Result<void> attach(const std::string& more = "") {
    return vm_->attach(fmt::format("domain=simulated,timeout=60s,wait=60s,reconnect=60s,memory_device={}{}",
                                   device_->path(), more));
  }
  /// Reads the page until it is mapped.
  [[nodiscard]] bool map(std::uint64_t gpa = kBegin) {
    return test::eventually([&] {
      const unsigned before = vm().simulator().seen().reads;
      return vm().reads(gpa, kPage) && vm().simulator().seen().reads == before;
    });
  }
  [[nodiscard]] bool none_mapped() {
    return ledger().pages == 0 && device_->mapped_pages_of(::getpid()) == 0;
  }
  /// The page is read by message however often it is read.
  [[nodiscard]] bool is_never_mapped(std::uint64_t gpa = kBegin) {
    for (int i = 0; i < 20; ++i) {
      const unsigned before = vm().simulator().seen().reads;
      if (!vm().reads(gpa, kPage) || vm().simulator().seen().reads == before) {
        return false;
      }
      std::this_thread::sleep_for(std::chrono::milliseconds{5});
    }
    return true;
  }

  [[nodiscard]] AttachedVm& vm() { return *vm_; }
  [[nodiscard]] Ledger& ledger() { return device_->ledger(); }
  [[nodiscard]] MemoryDevice& device() { return *device_; }

private:
  test::TempDir dir_;
  std::shared_ptr<MemoryDevice> device_;
  std::optional<AttachedVm> vm_;
};

class KvmiMapping : public testing::TestWithParam<Abi> {};

TEST_P(KvmiMapping, PageThatIsReadAgain_IsMapped_AndReadsAreTheGuests) {
  MappedVm mapped{GetParam()};
  AttachedVm& vm = mapped.vm();
  const auto attached = mapped.attach();
  ASSERT_TRUE(attached) << attached.error().message();
  EXPECT_TRUE(vm.reads(kBegin, kPage));
  EXPECT_EQ(mapped.ledger().maps, 0U); // once is not enough
  ASSERT_TRUE(mapped.map());
  EXPECT_GE(mapped.ledger().maps, 1U);
  EXPECT_GE(mapped.device().mapped_pages_of(::getpid()), 1U);
  // Of a mapped page and others in between, in one piece; and what the guest has written since.
  ASSERT_TRUE(mapped.map(kBegin + 3 * kPage));
  EXPECT_TRUE(vm.reads(kBegin + 5, 6 * kPage));
  const std::vector<std::byte> bytes(100, std::byte{0x5a});
  EXPECT_EQ(vm.driver().memory_writer()->write(Gpa{kBegin + 50}, bytes).done, bytes.size());
  const unsigned before = vm.simulator().seen().reads;
  EXPECT_TRUE(vm.reads(kBegin, kPage));
  // That it is the mapping which is read: a byte that only the device has.
  const std::uint8_t other = 0xc3;
  mapped.device().store(kBegin + 7, &other, 1);
  EXPECT_EQ(vm.read(kBegin + 7, 1).bytes, std::vector{std::byte{0xc3}});
  EXPECT_EQ(vm.simulator().seen().reads, before);
  EXPECT_EQ(mapped.ledger().violations, 0U);
  EXPECT_THAT(vm.simulator().seen().violations, testing::IsEmpty());
  EXPECT_THAT(vm.driver().access().ram, HasSubstr("pages are mapped"));
  ASSERT_EQ(vm.driver().probe().size(), 2U);
  EXPECT_TRUE(vm.driver().probe()[1].ok);
}

TEST_P(KvmiMapping, NothingIsMapped_AfterPauseResumeDetachAndTheEndOfTheConnection) {
  MappedVm mapped{GetParam()};
  AttachedVm& vm = mapped.vm();
  ASSERT_TRUE(mapped.attach());
  ASSERT_TRUE(mapped.map());
  ASSERT_TRUE(vm.control().pause());
  EXPECT_TRUE(mapped.none_mapped()) << "pause";
  ASSERT_TRUE(mapped.map());
  ASSERT_TRUE(vm.control().resume());
  EXPECT_TRUE(mapped.none_mapped()) << "resume";
  ASSERT_TRUE(mapped.map());
  vm.guest().plug_ram({0x1000000, 0x100000});
  EXPECT_TRUE(test::eventually([&] { return vm.reports().layouts == 1; }));
  EXPECT_TRUE(mapped.none_mapped()) << "another map";
  ASSERT_TRUE(mapped.map());
  vm.simulator().disconnect();
  EXPECT_TRUE(test::eventually([&] { return vm.reports().unclear >= 1; }));
  EXPECT_TRUE(test::eventually([&] { return mapped.none_mapped(); })) << "end of the connection";
  ASSERT_TRUE(mapped.map()); // of the next one
  vm.detach();
  EXPECT_TRUE(mapped.none_mapped()) << "detach";
  EXPECT_EQ(mapped.ledger().violations, 0U);
}

TEST_P(KvmiMapping, NothingIsMapped_AfterTheVmHasEnded) {
  MappedVm mapped{GetParam()};
  ASSERT_TRUE(mapped.vm().attach(fmt::format(
      "domain=simulated,timeout=60s,wait=60s,reconnect=100ms,memory_device={}", mapped.device().path())));
  ASSERT_TRUE(mapped.map());
  mapped.vm().simulator().end();
  EXPECT_TRUE(test::eventually([&] { return mapped.vm().reports().gone.load(); }));
  EXPECT_TRUE(test::eventually([&] { return mapped.none_mapped(); }));
  EXPECT_EQ(mapped.vm().read(kBegin, 16).failure, ErrorKind::vm_gone);
}

/// A page that the connection no longer vouches for is not read, even before it is unmapped.
TEST_P(KvmiMapping, ConnectionHasEnded_MappedPagesFailAsOthersDo) {
  MappedVm mapped{GetParam(), {.reconnects = false}};
  ASSERT_TRUE(mapped.attach());
  ASSERT_TRUE(mapped.map());
  mapped.vm().simulator().disconnect();
  EXPECT_TRUE(test::eventually([&] { return mapped.vm().reports().unclear >= 1; }));
  EXPECT_EQ(mapped.vm().read(kBegin, kPage).failure, ErrorKind::source_failed);
}

TEST_P(KvmiMapping, PagesOfTheBudget_AreNeverExceeded_AndTheOldestGo) {
  MappedVm mapped{GetParam()};
  ASSERT_TRUE(mapped.attach(",mapped_pages=8"));
  for (int round = 0; round < 20; ++round) {
    for (std::uint64_t i = 0; i < 40; ++i) {
      ASSERT_TRUE(mapped.vm().reads(kBegin + i * kPage, kPage));
    }
  }
  EXPECT_TRUE(test::eventually([&] { return mapped.ledger().maps > 8; }));
  EXPECT_LE(mapped.ledger().max_pages, 8U);
  EXPECT_LE(mapped.device().mapped_pages_of(::getpid()), 8U);
  EXPECT_EQ(mapped.ledger().violations, 0U);
}

TEST_P(KvmiMapping, PageThatNobodyReadsAnyMore_IsUnmapped) {
  MappedVm mapped{GetParam()};
  ASSERT_TRUE(mapped.attach());
  ASSERT_TRUE(mapped.map());
  EXPECT_TRUE(test::eventually([&] { return mapped.none_mapped(); }));
}

/// A load would be SIGBUS, and the end of the daemon.
TEST_P(KvmiMapping, PageThatVanishes_IsReadByMessage) {
  MappedVm mapped{GetParam()};
  ASSERT_TRUE(mapped.attach());
  ASSERT_TRUE(mapped.map());
  mapped.device().cut(kBegin);
  EXPECT_TRUE(mapped.is_never_mapped());
  EXPECT_TRUE(mapped.none_mapped());
}

/// Every error of the protocol's page, once and for good: reads stay right.
TEST_P(KvmiMapping, ErrorsOfTheDevice_FallBackToMessages) {
  for (const int error : {EINVAL, ENOMEM, ENODEV, ENOENT, EFAULT, ENOTTY, EAGAIN, EBUSY, EPERM, EIO}) {
    MappedVm mapped{GetParam()};
    mapped.ledger().map_error = error;
    mapped.ledger().map_errors_left = 1'000'000;
    ASSERT_TRUE(mapped.attach());
    const auto begin = std::chrono::steady_clock::now();
    const auto tried = [&] { return 1'000'000 - mapped.ledger().map_errors_left; };
    EXPECT_TRUE(test::eventually([&] { return mapped.vm().reads(kBegin, kPage) && tried() > 0; })) << error;
    EXPECT_TRUE(mapped.is_never_mapped()) << error;
    EXPECT_TRUE(mapped.none_mapped());
    // One page is not tried again and again.
    const auto seconds = std::chrono::ceil<std::chrono::seconds>(std::chrono::steady_clock::now() - begin);
    EXPECT_LE(tried(), 1U + static_cast<unsigned>(seconds.count())) << error;
    EXPECT_EQ(mapped.ledger().violations, 0U);
    if (error == ENODEV || error == ENOTTY || error == EPERM) {
      EXPECT_THAT(mapped.vm().driver().access().ram, HasSubstr("no page is mapped any more")) << error;
    }
  }
}

TEST_P(KvmiMapping, ErrorThatPasses_ThePageIsMappedLater) {
  for (const int error : {EAGAIN, EBUSY, ENOMEM}) {
    MappedVm mapped{GetParam()};
    mapped.ledger().map_error = error;
    mapped.ledger().map_errors_left = 1;
    ASSERT_TRUE(mapped.attach());
    EXPECT_TRUE(mapped.map()) << error;
  }
}

TEST_P(KvmiMapping, ManyPagesThatCannotBeMapped_EndTheAttempts) {
  MappedVm mapped{GetParam()};
  mapped.ledger().map_error = ENOENT;
  mapped.ledger().map_errors_left = 1'000'000;
  ASSERT_TRUE(mapped.attach());
  EXPECT_TRUE(test::eventually([&] {
    return mapped.vm().reads(kBegin, 64 * kPage) &&
           mapped.vm().driver().access().ram.find("no page is mapped any more") != std::string::npos;
  }));
  EXPECT_LE(1'000'000 - mapped.ledger().map_errors_left, 16U);
}

TEST_P(KvmiMapping, TokensThatAreRefusedOrDamaged_FallBackToMessages) {
  const std::vector<kvmi_simulator::Fault> faults{
      {.kind = FaultKind::error, .value = EAGAIN},
      {.kind = FaultKind::error, .value = ENOMEM},
      {.kind = FaultKind::error, .value = EPERM},
      {.kind = FaultKind::error, .value = kvmi_simulator::kNoCommand},
      {.kind = FaultKind::short_reply},
      {.kind = FaultKind::replaced, .data = {1, 2, 3}},
      {.kind = FaultKind::zeros}, // a token that was never given
  };
  for (kvmi_simulator::Fault fault : faults) {
    fault.id = kTreeMapToken;
    fault.times = 10'000;
    MappedVm mapped{GetParam(), {.faults = {fault}}};
    ASSERT_TRUE(mapped.attach());
    EXPECT_TRUE(mapped.is_never_mapped()) << fault.value;
    EXPECT_TRUE(mapped.none_mapped());
    EXPECT_EQ(mapped.vm().simulator().seen().connections, 1U);
  }
}

TEST_P(KvmiMapping, WithoutTokensOrBudget_TheDeviceIsNotUsed) {
  {
    MappedVm mapped{GetParam(), {.denied = {kTreeMapToken}}};
    ASSERT_TRUE(mapped.attach());
    EXPECT_TRUE(mapped.is_never_mapped());
    EXPECT_THAT(mapped.vm().driver().probe()[1].detail, HasSubstr("GET_MAP_TOKEN"));
  }
  {
    MappedVm mapped{GetParam(), {.dialect = Dialect::v12}};
    ASSERT_TRUE(mapped.attach());
    EXPECT_TRUE(mapped.is_never_mapped());
  }
  MappedVm mapped{GetParam()};
  ASSERT_TRUE(mapped.attach(",mapped_pages=0"));
  EXPECT_TRUE(mapped.is_never_mapped());
  EXPECT_EQ(mapped.ledger().starts, 0U);
}

TEST_P(KvmiMapping, PausesResetsAndReaders_NothingWrongIsRead_AndNothingStaysMapped) {
  MappedVm mapped{GetParam(), {.reconnect = std::chrono::milliseconds{5}}};
  AttachedVm& vm = mapped.vm();
  ASSERT_TRUE(mapped.attach(",mapped_pages=32"));
  std::atomic<int> wrong{0};
  std::atomic<int> good{0};
  {
    std::vector<std::jthread> threads;
    for (std::uint64_t i = 0; i < 3; ++i) {
      threads.emplace_back([&, i](const std::stop_token& stop) {
        while (!stop.stop_requested()) {
          const auto read = vm.read(kBegin + i * 0x10800, 100'000);
          wrong += read.bytes == vm.guest().bytes(kBegin + i * 0x10800, read.bytes.size()) ? 0 : 1;
          good += read.failure ? 0 : 1;
        }
      });
    }
    for (int i = 0; i < 10; ++i) {
      const int before = good;
      EXPECT_TRUE(test::eventually([&] { return good > before + 20; }));
      static_cast<void>(vm.control().pause());
      static_cast<void>(vm.control().resume());
      if (i % 3 == 0) {
        vm.simulator().disconnect();
      }
    }
  }
  EXPECT_EQ(wrong, 0);
  EXPECT_LE(mapped.ledger().max_pages, 64U); // of two files: a connection's, and that of the one before
  EXPECT_EQ(mapped.ledger().violations, 0U);
  vm.detach();
  EXPECT_TRUE(mapped.none_mapped());
}

INSTANTIATE_TEST_SUITE_P(Abis, KvmiMapping, testing::Values(Abi::first, Abi::second),
                         [](const auto& abi) { return abi.param == Abi::first ? "first" : "second"; });

TEST(KvmiSecondAbi, VmIsNamedByItsUuid_OncePerConnection) {
  MappedVm mapped{Abi::second};
  ASSERT_TRUE(mapped.attach());
  EXPECT_EQ(mapped.ledger().starts, 1U);
  EXPECT_EQ(mapped.ledger().uuid,
            (std::array<std::uint8_t, 16>{0x11, 0x11, 0x11, 0x11, 0x22, 0x22, 0x33, 0x33, 0x44, 0x44, 0x55,
                                          0x55, 0x55, 0x55, 0x55, 1}));
}

TEST(KvmiSecondAbi, VmThatTheDeviceRefuses_IsReadByMessages) {
  for (const int error : {EINVAL, ENOMEM, ENODEV, ENOENT, EFAULT, EPERM}) {
    MappedVm mapped{Abi::second};
    mapped.ledger().start_error = error;
    ASSERT_TRUE(mapped.attach());
    EXPECT_TRUE(mapped.is_never_mapped());
    EXPECT_FALSE(mapped.vm().driver().probe()[1].ok);
    EXPECT_THAT(mapped.vm().driver().probe()[1].detail, HasSubstr("by messages"));
  }
}

TEST(KvmiSecondAbi, RegionsOfManyPages_CountWithAllOfThem) {
  MappedVm mapped{Abi::second};
  mapped.ledger().region_pages = 16;
  ASSERT_TRUE(mapped.attach(",mapped_pages=40"));
  ASSERT_TRUE(mapped.map());
  EXPECT_EQ(mapped.ledger().pages, 16U);
  const unsigned before = mapped.vm().simulator().seen().reads;
  EXPECT_TRUE(mapped.vm().reads(kBegin, 16 * kPage));
  EXPECT_EQ(mapped.vm().simulator().seen().reads, before); // all of it by the mapping
  ASSERT_TRUE(mapped.map(kBegin + 16 * kPage));
  ASSERT_TRUE(mapped.map(kBegin + 32 * kPage));
  EXPECT_LE(mapped.device().mapped_pages_of(::getpid()), 40U);
  EXPECT_EQ(mapped.ledger().violations, 0U);
}

TEST(KvmiSecondAbi, RegionLargerThanTheBudget_IsGivenBack) {
  MappedVm mapped{Abi::second};
  mapped.ledger().region_pages = 16;
  ASSERT_TRUE(mapped.attach(",mapped_pages=8"));
  EXPECT_TRUE(mapped.is_never_mapped());
  EXPECT_TRUE(mapped.none_mapped());
}

TEST(KvmiSecondAbi, RegionThatIsNotWhereItWasAskedFor_EndsTheAttempts) {
  const std::vector<std::pair<std::uint64_t, std::uint64_t>> lies{
      {0x300000, 0},  {0x100800, 0}, {0, 17}, {0, std::uint64_t{1} << 63U}, {~std::uint64_t{0} - 4095, 4096},
      {0xff000, 4096}};
  for (const auto& [gpa, length] : lies) {
    MappedVm mapped{Abi::second};
    mapped.ledger().wrong_gpa = gpa;
    mapped.ledger().wrong_length = length;
    ASSERT_TRUE(mapped.attach());
    EXPECT_TRUE(mapped.is_never_mapped()) << gpa << ' ' << length;
    EXPECT_TRUE(mapped.none_mapped());
  }
}

TEST(KvmiMemoryDevice, FileThatIsNoSuchDevice_OrNone_IsSaid_AndMemoryIsReadByMessages) {
  for (const auto& [path, why] :
       {std::pair{"/dev/null", "not the device"}, std::pair{"/dev/kvmmem-none", "No such file"},
        std::pair{"/", "cannot open"}}) {
    AttachedVm vm;
    ASSERT_TRUE(vm.attach(fmt::format("domain=simulated,timeout=60s,wait=60s,memory_device={}", path)));
    EXPECT_TRUE(vm.reads());
    EXPECT_FALSE(vm.driver().probe()[1].ok);
    EXPECT_EQ(vm.driver().probe()[1].what, path);
    EXPECT_THAT(vm.driver().probe()[1].detail, HasSubstr(why));
  }
}

TEST(KvmiMappingCopy, PageThatIsNotThere_FailsTheCopyAlone) {
  void* const pages = ::mmap(nullptr, 2 * kPage, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  auto* const bytes = static_cast<std::byte*>(pages);
  bytes[kPage - 1] = std::byte{7};
  ASSERT_EQ(::munmap(bytes + kPage, kPage), 0);
  std::array<std::byte, 16> into{};
  EXPECT_TRUE(copy_from_mapping(bytes + kPage - 16, into));
  EXPECT_EQ(into[15], std::byte{7});
  EXPECT_FALSE(copy_from_mapping(bytes + kPage - 8, into));
  ::munmap(pages, kPage);
}

} // namespace
} // namespace vmemfs::kvmi
