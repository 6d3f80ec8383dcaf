// SPDX-License-Identifier: MIT
// A real guest with a counter, read with the page cache on: reads are live while it runs and constant while
// it is paused, and changes by other clients are detected in time. The expectation is the output of QEMU's
// monitor.
#include "e2e/memory/mapping.h"
#include "guests/tiny/layout.h"
#include "support/mount.h"
#include "support/qemu_guest.h"
#include "util/unique_fd.h"

#include <cstring>
#include <fcntl.h>
#include <fmt/format.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/wait.h>
#include <thread>
#include <unistd.h>
#include <vector>

namespace vmemfs::test {
namespace {

using std::chrono::milliseconds;

constexpr std::uint64_t kCounter = TG_INFO_GPA + TG_INFO_OFF_COUNTER;

struct Setup {
  const char* name;
  bool shared; ///< guest RAM
  bool keep;   ///< of the monitor
};

class Coherence : public testing::TestWithParam<Setup> {
protected:
  static GuestOptions options() {
    GuestOptions options;
    options.idle = false;
    if (GetParam().shared) {
      options.extra = {"-object", "memory-backend-memfd,id=ram,size=64M,share=on", "-machine",
                       "memory-backend=ram"};
    }
    return options;
  }

  Coherence() { EXPECT_EQ(try_write(mount_ / "vm/control", "cache on\n"), 0); }

  [[nodiscard]] std::uint64_t seen() const {
    const auto read = pread_at(mem_.get(), kCounter, 8);
    std::uint64_t value = 0;
    EXPECT_EQ(read.bytes.size(), sizeof(value));
    std::memcpy(&value, read.bytes.data(), std::min(sizeof(value), read.bytes.size()));
    return value;
  }

  /// "0000000000200008: 0x0000000000000c3a"
  std::uint64_t truth() {
    const std::string text = guest_.monitor().human(fmt::format("xp /1gx {:#x}", kCounter));
    return std::stoull(text.substr(text.find(": ") + 2), nullptr, 16);
  }

  [[nodiscard]] nlohmann::json cache() const {
    return nlohmann::json::parse(read_file(mount_ / "vm/info"))["cache"];
  }

  /// How files are mapped that are mapped shared if the kernel can.
  static int sharing() { return kernel_maps_shared() ? MAP_SHARED : MAP_PRIVATE; }
  /// In a mapping of the page with the guest's information.
  static const volatile std::uint64_t* counter_in(const Mapping& mapping) {
    return reinterpret_cast<const volatile std::uint64_t*>(mapping.data() + TG_INFO_OFF_COUNTER);
  }

  /// Time within which a change by another client must be detected.
  [[nodiscard]] milliseconds stated_delay() const {
    return milliseconds{cache()["state_delay_ms"].get<int>()};
  }

  QemuGuest guest_{options()};
  Mount mount_{
      {"--vm", fmt::format("vm=qemu:qmp={}{}", guest_.driver_socket(), GetParam().keep ? ",keep=on" : "")}};
  UniqueFd mem_{::open((mount_ / "vm/mem").c_str(), O_RDONLY | O_CLOEXEC)};
};

TEST_P(Coherence, RunningGuest_ReadsAreLive) {
  for (int i = 0; i < 100; ++i) {
    const std::uint64_t least = truth();
    ASSERT_GE(seen(), least);
  }
}

TEST_P(Coherence, PausedGuest_IsConstantAndCached) {
  ASSERT_EQ(try_write(mount_ / "vm/control", "pause\n"), 0);
  const std::uint64_t value = truth();
  // On a busy host a vCPU thread of QEMU may fall asleep only after QEMU's answer: that looks like a run, and
  // nothing is cached until the state was asked for again.
  constexpr int kMaxRounds = 100;
  int hits = 0;
  for (int round = 0; round < kMaxRounds && hits < 99; ++round) {
    const int before = cache()["hits"].get<int>();
    for (int i = 0; i < 100; ++i) {
      ASSERT_EQ(seen(), value);
    }
    hits = cache()["hits"].get<int>() - before;
    std::this_thread::sleep_for(milliseconds{20});
  }
  if (!GetParam().shared) { // shared memory is read from its mapping, which is faster than any cache
    EXPECT_GE(hits, 99);
  }
  ASSERT_EQ(try_write(mount_ / "vm/control", "resume\n"), 0);
  for (int i = 0; i < 20; ++i) {
    const std::uint64_t least = truth();
    ASSERT_GE(seen(), least);
  }
}

/// Another thread of the daemon may be about to report what it has seen, and be delayed on a busy host.
void sleep_until_noticed(milliseconds delay) { std::this_thread::sleep_for(delay + milliseconds{500}); }

TEST_P(Coherence, ForeignCont_IsDetectedInTime) {
  const milliseconds delay = stated_delay();
  ASSERT_LE(delay, milliseconds{100});
  for (int i = 0; i < 20; ++i) {
    ASSERT_EQ(try_write(mount_ / "vm/control", "pause\n"), 0);
    ASSERT_EQ(seen(), seen());
    guest_.resume();
    const std::uint64_t least = truth();
    sleep_until_noticed(delay);
    ASSERT_GE(seen(), least);
  }
}

TEST_P(Coherence, ForeignContAndStop_IsDetectedInTime) {
  const milliseconds delay = stated_delay();
  for (int i = 0; i < 20; ++i) {
    ASSERT_EQ(try_write(mount_ / "vm/control", "pause\n"), 0);
    const std::uint64_t before = seen();
    guest_.resume();
    EXPECT_TRUE(eventually([&] { return truth() > before; }));
    guest_.pause();
    sleep_until_noticed(delay);
    ASSERT_EQ(seen(), truth());
    guest_.resume();
  }
}

TEST_P(Coherence, ForeignPause_IsDetectedAndThenCached) {
  guest_.pause();
  EXPECT_TRUE(eventually([&] {
    static_cast<void>(seen());
    return GetParam().shared || cache()["hits"].get<int>() > 0;
  }));
  EXPECT_EQ(seen(), truth());
}

TEST_P(Coherence, MappedPages_GuestResumes_AreDropped) {
  for (const auto& [foreign, flags] : {std::pair{false, MAP_PRIVATE}, {true, sharing()}}) {
    ASSERT_EQ(try_write(mount_ / "vm/control", "pause\n"), 0);
    const Mapping mapped{mem_.get(), TG_INFO_GPA, 4096, flags};
    ASSERT_FALSE(mapped.bad());
    const volatile std::uint64_t* const counter = counter_in(mapped);
    const std::uint64_t before = *counter;
    EXPECT_EQ(before, truth());
    if (foreign) {
      guest_.resume();
    } else {
      ASSERT_EQ(try_write(mount_ / "vm/control", "resume\n"), 0);
    }
    // The page is not accessed until it must have been dropped: an earlier access would map a page of the
    // running guest, which is dropped anyway.
    EXPECT_TRUE(eventually([&] { return truth() > before; }));
    std::this_thread::sleep_for(milliseconds{500});
    EXPECT_TRUE(eventually([&] { return *counter > before; }));
  }
}

/// The kernel answers all of them from its page cache.
TEST_P(Coherence, MappingsAndSendfile_FollowARunningGuest) {
  const Mapping mapped{mem_.get(), TG_INFO_GPA, 4096, MAP_PRIVATE};
  const Mapping shared{mem_.get(), TG_INFO_GPA, 4096, sharing()};
  ASSERT_FALSE(mapped.bad() || shared.bad());
  const UniqueFd copy{::memfd_create("copy", MFD_CLOEXEC)};
  const auto sent = [&] {
    off_t from = TG_INFO_GPA;
    std::uint64_t value = 0;
    EXPECT_EQ(::lseek(copy.get(), 0, SEEK_SET), 0);
    EXPECT_EQ(::sendfile(copy.get(), mem_.get(), &from, 4096), 4096);
    EXPECT_EQ(::pread(copy.get(), &value, sizeof(value), TG_INFO_OFF_COUNTER),
              static_cast<ssize_t>(sizeof(value)));
    return value;
  };
  for (int i = 0; i < 10; ++i) {
    static_cast<void>(*counter_in(mapped) + *counter_in(shared) + sent()); // the kernel has the page
    const std::uint64_t least = truth();
    EXPECT_TRUE(eventually([&] { return *counter_in(mapped) >= least; })) << i;
    EXPECT_TRUE(eventually([&] { return *counter_in(shared) >= least; })) << i;
    EXPECT_TRUE(eventually([&] { return sent() >= least; })) << i;
  }
}

/// Pages of it are always awaited by somebody. That the kernel's pages are kept short must end nobody.
TEST(SlowVm, MappingsWhileItRuns_GetTheirPages) {
  const Mount mount{{"--vm", "vm=fake:size=16M,delay=300ms"}};
  const std::string path = mount / "vm/mem";
  std::vector<pid_t> readers;
  for (unsigned i = 0; i < 8; ++i) {
    const pid_t reader = ::fork();
    if (reader == 0) {
      const int file = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
      void* const mapped = ::mmap(nullptr, std::size_t{16} << 20U, PROT_READ, MAP_PRIVATE, file, 0);
      if (mapped == MAP_FAILED) {
        ::_exit(1);
      }
      for (unsigned page = 0; page < 8; ++page) { // far from each other
        static_cast<void>(
            static_cast<const volatile char*>(mapped)[(page * 8 + i) * std::size_t{256} << 10U]);
      }
      ::_exit(0);
    }
    readers.push_back(reader);
  }
  for (const pid_t reader : readers) {
    int status = 0;
    EXPECT_EQ(::waitpid(reader, &status, 0), reader);
    EXPECT_TRUE(WIFEXITED(status)) << "signal " << WTERMSIG(status);
    EXPECT_EQ(status, 0);
  }
}

TEST_P(Coherence, Reset_IsDetected) {
  ASSERT_EQ(try_write(mount_ / "vm/control", "pause\n"), 0);
  static_cast<void>(seen());
  guest_.monitor().execute("system_reset"); // takes effect when it runs
  guest_.resume();
  std::this_thread::sleep_for(stated_delay());
  const std::uint64_t least = truth();
  const std::uint64_t now = seen();
  EXPECT_TRUE(now >= least || now <= truth()) << now << " " << least;
}

INSTANTIATE_TEST_SUITE_P(, Coherence,
                         testing::Values(Setup{"PrivateVisits", false, false},
                                         Setup{"PrivateKeeps", false, true},
                                         Setup{"SharedVisits", true, false}),
                         [](const auto& setup) { return setup.param.name; });

} // namespace
} // namespace vmemfs::test
