// SPDX-License-Identifier: MIT
// VMs start and are killed at random while everything is read: all directories are right, and nothing
// leaks.
//
// stress_test [--vms=N] [--seconds=N] [--late=MS]: how many VMs at most, for how long, and how late a
// directory may come or go. A long run: stress_test --vms=200 --seconds=600 --late=1000
#include "stress/churned_vm.h"
#include "stress/mount_readers.h"
#include "support/mount.h"

#include <algorithm>
#include <atomic>
#include <cctype>
#include <charconv>
#include <chrono>
#include <cstdio>
#include <filesystem>
#include <fmt/format.h>
#include <fstream>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <iterator>
#include <memory>
#include <mutex>
#include <random>
#include <set>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

namespace vmemfs::test {
namespace {

using Clock = std::chrono::steady_clock;
using std::chrono::milliseconds;
using namespace std::chrono_literals;

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
constexpr bool kSanitized = true; // its own memory hides that of the daemon; leaks are reported at the end
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
constexpr bool kSanitized = true;
#else
constexpr bool kSanitized = false;
#endif
#else
constexpr bool kSanitized = false;
#endif

struct Settings {
  std::uint64_t vms = 16;
  std::uint64_t seconds = 16;
  std::uint64_t late = 20'000; ///< milliseconds
};
Settings settings;

constexpr unsigned kRounds =
    4; ///< after each round all VMs are gone, and the daemon should be as at its start
constexpr unsigned kChurners = 4;
constexpr unsigned kReaders = 3;

/// Time until directories appeared and disappeared.
class Delays {
public:
  void add(Clock::duration delay) {
    const std::scoped_lock lock{mutex_};
    delays_.push_back(std::chrono::duration_cast<milliseconds>(delay));
  }
  [[nodiscard]] std::string summary() {
    const std::scoped_lock lock{mutex_};
    if (delays_.empty()) {
      return "none";
    }
    std::ranges::sort(delays_);
    return fmt::format("{} times, median {} ms, longest {} ms", delays_.size(),
                       delays_[delays_.size() / 2].count(), delays_.back().count());
  }

private:
  std::mutex mutex_;
  std::vector<milliseconds> delays_;
};

/// Resources that grow if something leaks.
struct DaemonState {
  std::multiset<std::string> descriptors; ///< targets, without the numbers of sockets and processes
  std::size_t threads = 0;
  std::uint64_t memory_kib = 0; ///< anonymous, resident

  explicit DaemonState(pid_t pid) {
    const std::string proc = fmt::format("/proc/{}/", pid);
    for (const auto& descriptor : std::filesystem::directory_iterator{proc + "fd"}) {
      std::error_code closed_meanwhile;
      std::string of = std::filesystem::read_symlink(descriptor, closed_meanwhile);
      std::erase_if(of, [](unsigned char c) { return std::isdigit(c) != 0; });
      descriptors.insert(std::move(of));
    }
    threads = entries(proc + "task");
    std::ifstream status{proc + "status"};
    for (std::string line; std::getline(status, line);) {
      constexpr std::string_view kField = "RssAnon:";
      if (line.starts_with(kField)) {
        memory_kib = std::stoull(line.substr(kField.size()));
      }
    }
  }
  static std::size_t entries(const std::string& directory) {
    return static_cast<std::size_t>(std::distance(std::filesystem::directory_iterator{directory}, {}));
  }
};

class Churn : public testing::Test {
protected:
  /// Starts and ends VMs in one thread, one at a time, until the round is over; leaves none.
  void churn(Clock::time_point end, unsigned seed) {
    std::mt19937 dice{seed};
    std::vector<std::unique_ptr<ChurnedVm>> vms(std::max<std::uint64_t>(settings.vms / kChurners, 1));
    while (Clock::now() < end) {
      auto& vm = vms[dice() % vms.size()];
      if (vm == nullptr) {
        start(vm);
      } else if (dice() % 3 == 0) { // so that most of them exist at any time
        kill(vm);
      }
    }
    for (auto& vm : vms) {
      kill(vm);
    }
  }

  void start(std::unique_ptr<ChurnedVm>& vm) {
    vm = std::make_unique<ChurnedVm>(next_number_++);
    most_ = std::max(most_.load(), ++running_);
    const auto since = Clock::now();
    EXPECT_TRUE(eventually([&] { return vm->is_shown_in(mount_.path()); }, milliseconds{settings.late}))
        << vm->name() << " does not appear:\n"
        << read_file(mount_ / ".vmemfs/control");
    coming_.add(Clock::now() - since);
  }

  void kill(std::unique_ptr<ChurnedVm>& vm) {
    if (vm == nullptr) {
      return;
    }
    locked_up_ += vm->end() ? 0 : 1;
    --running_;
    const auto since = Clock::now();
    EXPECT_TRUE(eventually([&] { return !exists(mount_ / vm->name()); }, milliseconds{settings.late}))
        << vm->name() << " does not disappear";
    leaving_.add(Clock::now() - since);
    vm.reset();
  }

  /// Starts the guardian process, with the descriptors that the daemon keeps for it.
  void pause_one() {
    std::unique_ptr<ChurnedVm> vm;
    start(vm);
    EXPECT_TRUE(vm->runs()); // a VM that is paused already needs no guardian
    EXPECT_EQ(try_write(mount_ / vm->name() + "/control", "pause ttl=100ms\n"), 0);
    kill(vm);
  }

  void churn_in_threads(Clock::duration time, unsigned seed) {
    std::vector<std::jthread> churners;
    for (unsigned i = 0; i < kChurners; ++i) {
      churners.emplace_back([this, end = Clock::now() + time, seed, i] { churn(end, seed + i); });
    }
  }

  [[nodiscard]] std::set<std::string> ours_in_the_mount() const {
    std::set<std::string> names;
    for (const auto& entry : std::filesystem::directory_iterator{mount_.path()}) {
      if (const std::string name = entry.path().filename(); name.starts_with("churned")) {
        names.insert(name);
      }
    }
    return names;
  }

  Mount mount_{{"--writable"}, Discover::on};
  std::atomic<std::uint64_t> next_number_{0};
  std::atomic<unsigned> running_{0};
  std::atomic<unsigned> most_{0};
  std::atomic<unsigned> locked_up_{0}; ///< QEMUs; see ChurnedVm::end()
  Delays coming_;
  Delays leaving_;
};

TEST_F(Churn, VmsComeAndGo_NothingLeaks) {
  pause_one();
  std::vector<DaemonState> states;
  for (unsigned round = 0; round < kRounds; ++round) {
    {
      MountReaders readers{mount_.path(), {.threads = kReaders}};
      churn_in_threads(std::chrono::seconds{settings.seconds} / kRounds, round * kChurners);
      readers.stop();
      EXPECT_THAT(readers.unfair(), testing::IsEmpty());
      for (const auto& [outcome, count] : readers.outcomes()) {
        fmt::print("{:<12} {:<24} {:>8}\n", outcome.first,
                   outcome.second == 0 ? "read" : std::generic_category().message(outcome.second), count);
      }
    }
    EXPECT_TRUE(ours_in_the_mount().empty());
    std::this_thread::sleep_for(2s); // time for delayed work to end
    const DaemonState& state = states.emplace_back(mount_.daemon().pid());
    fmt::print("round {}: {} VMs so far, at most {} at once; {} descriptors, {} threads, {} KiB\n", round + 1,
               next_number_.load(), most_.load(), state.descriptors.size(), state.threads, state.memory_kib);
    std::fflush(stdout);
  }
  fmt::print("directories came: {}\ndirectories went: {}\nQEMUs that SIGTERM did not end: {}\n",
             coming_.summary(), leaving_.summary(), locked_up_.load());
  // The first round creates what is created only once.
  EXPECT_EQ(states.back().descriptors, states.front().descriptors);
  // One or two of a worker may not have been idle for long enough to end; a leak is one per VM.
  constexpr unsigned kMoreThreads = 2;
  EXPECT_LE(states.back().threads, states.front().threads + kMoreThreads);
  if (!kSanitized) {
    EXPECT_LE(states.back().memory_kib, states.front().memory_kib * 5 / 4 + 1024);
  }
  EXPECT_EQ(mount_.unmount(), 0);
}

/// False if `argument` is not a setting.
bool take_setting(std::string_view argument) {
  for (const auto& [name, value] :
       {std::pair{"--vms=", &settings.vms}, {"--seconds=", &settings.seconds}, {"--late=", &settings.late}}) {
    if (argument.starts_with(name)) {
      const std::string_view number = argument.substr(std::string_view{name}.size());
      const auto end = number.data() + number.size();
      const auto parsed = std::from_chars(number.data(), end, *value);
      return parsed.ec == std::errc{} && parsed.ptr == end;
    }
  }
  return false;
}

} // namespace
} // namespace vmemfs::test

int main(int argc, char** argv) {
  testing::InitGoogleTest(&argc, argv);
  for (int i = 1; i < argc; ++i) {
    if (!vmemfs::test::take_setting(argv[i])) {
      fmt::print(stderr, "usage: stress_test [--vms=N] [--seconds=N] [--late=MILLISECONDS]\n");
      return 2;
    }
  }
  return RUN_ALL_TESTS();
}
