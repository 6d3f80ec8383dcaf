// SPDX-License-Identifier: MIT
// Time limit of a whole operation, with a monitor of this process that answers each exchange late.
#include "arch/x86_64/registers.h"
#include "drivers/qemu/qemu_driver.h"
#include "support/processes.h"
#include "tests/drivers/qemu_protocol/fake_monitor.h"
#include "util/fd_watcher.h"
#include "util/worker.h"

#include <array>
#include <atomic>
#include <chrono>
#include <fmt/format.h>
#include <functional>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <map>
#include <mutex>
#include <string>
#include <sys/mman.h>
#include <thread>
#include <vector>

namespace vmemfs::qemu {
namespace {

using namespace std::chrono_literals;
using Clock = std::chrono::steady_clock;

constexpr std::chrono::milliseconds kTimeout = 2s;
constexpr std::chrono::milliseconds kOperation = 2 * kTimeout; ///< as documented
constexpr std::chrono::milliseconds kSlack = 3s;               ///< of a busy machine
constexpr std::size_t kRam = std::size_t{1} << 20;

/// A monitor of one QEMU with RAM in this process.
class FakeQemu {
public:
  FakeQemu() : ram_{::mmap(nullptr, kRam, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)} {
    if (ram_ == MAP_FAILED) {
      throw std::bad_alloc{};
    }
  }
  ~FakeQemu() { ::munmap(ram_, kRam); }
  FakeQemu(const FakeQemu&) = delete;
  FakeQemu& operator=(const FakeQemu&) = delete;

  [[nodiscard]] FoundQemu found() const {
    return {process_of(::getpid()), parse_qemu_command_line({}), {monitor_.path()}, {}};
  }

  void delay_all(std::chrono::milliseconds delay) { delay_ms_ = delay.count(); }
  /// Of commands that contain `text`.
  void delay(const std::string& text, std::chrono::milliseconds delay) {
    const std::scoped_lock lock{mutex_};
    delays_[text] = delay;
  }

  /// The answer to query-chardev.
  void set_chardevs(const std::string& chardevs) {
    const std::scoped_lock lock{mutex_};
    chardevs_ = chardevs;
  }

  [[nodiscard]] bool running() const { return running_; }
  /// Number of commands that contain `text`.
  [[nodiscard]] std::size_t asked(const std::string& text) const {
    const std::scoped_lock lock{mutex_};
    std::size_t count = 0;
    for (const std::string& command : commands_) {
      count += command.find(text) != std::string::npos ? 1 : 0;
    }
    return count;
  }

private:
  void serve(FakePeer& peer) {
    peer.send(FakePeer::kGreeting);
    for (std::string command = peer.read_line(); !command.empty(); command = peer.read_line()) {
      std::this_thread::sleep_for(note(command));
      peer.send(fmt::format("{{\"return\": {}, \"id\": {}}}\r\n", answer_to(command), id_of(command)));
    }
  }

  std::chrono::milliseconds note(const std::string& command) {
    const std::scoped_lock lock{mutex_};
    commands_.push_back(command);
    for (const auto& [text, delay] : delays_) {
      if (command.find(text) != std::string::npos) {
        return delay;
      }
    }
    return std::chrono::milliseconds{delay_ms_};
  }

  std::string answer_to(const std::string& command) {
    const auto is = [&](std::string_view text) { return command.find(text) != std::string::npos; };
    if (is("\"stop\"") || is("gdbserver chardev:") ||
        is("add_client")) { // QEMU's gdbstub stops the VM when it is connected
      running_ = false;
    } else if (is("\"cont\"")) {
      running_ = true;
    }
    if (is("query-status")) {
      return running_ ? R"({"running": true, "status": "running"})"
                      : R"({"running": false, "status": "paused"})";
    }
    if (is("query-cpus-fast")) {
      return R"([{"cpu-index": 0, "thread-id": 1}])";
    }
    if (is("query-target")) {
      return R"({"arch": "x86_64"})";
    }
    if (is("query-name") || is("query-uuid")) {
      return R"({"name": "slow", "UUID": "00000000-0000-0000-0000-000000000000"})";
    }
    if (is("query-chardev")) {
      const std::scoped_lock lock{mutex_};
      return chardevs_;
    }
    if (is("query-memdev") || is("query-pci")) {
      return "[]";
    }
    if (is("info mtree")) {
      return R"("FlatView #0\n AS \"memory\", root: system\n Root memory region: system\n)"
             R"(  0000000000000000-00000000000fffff (prio 0, ram): pc.ram\n\n")";
    }
    if (is("gpa2hva")) {
      return fmt::format("\"Host virtual address for 0x0 (pc.ram) is {:#x}\\n\"",
                         reinterpret_cast<std::uintptr_t>(ram_));
    }
    if (is("info registers")) {
      return R"("\nCPU#0\nRAX=0000000000000001 RBX=0000000000000000\n")";
    }
    if (is("gdbserver chardev:")) {
      return "\"Waiting for gdb connection on device\"";
    }
    return is("human-monitor-command") ? "\"\"" : "{}";
  }

  void* ram_;
  std::atomic<std::int64_t> delay_ms_{0};
  std::atomic<bool> running_{true};
  mutable std::mutex mutex_;
  std::vector<std::string> commands_;
  std::string chardevs_ = "[]";
  std::map<std::string, std::chrono::milliseconds> delays_;
  FakeMonitor monitor_{[this](FakePeer& peer) { serve(peer); }}; // last: its thread uses the others
};

struct Attached {
  FakeQemu qemu;
  FdWatcher watcher;
  Worker worker;
  std::unique_ptr<QemuDriver> driver;

  Attached() {
    auto attached =
        QemuDriver::attach(qemu.found(), {.map = MapSource::monitor, .timeout = kTimeout}, {watcher, worker});
    if (!attached) {
      throw std::runtime_error{attached.error().message()};
    }
    driver = std::move(*attached);
  }
};

/// Of the driver's interface, which its class hides.
RunControl& run_control(Driver& driver) { return *driver.run_control(); }

Error write_byte(Driver& driver) {
  const std::array one{std::byte{1}};
  return driver.memory_writer()->write(Gpa{0x1000}, one).failure.value_or(Error{});
}

template <typename T> Error error_of(const Result<T>& result) { return result ? Error{} : result.error(); }

using Operation = std::function<Error(Driver&)>;

const std::map<std::string, Operation>& operations() {
  static const std::array<RegisterValue, 1> kValues{RegisterValue{x86_64::Register::rax, 7}};
  static const std::array kVcpus{VcpuId{0}};
  static const std::map<std::string, Operation> kOperations{
      {"refresh", [](Driver& driver) { return error_of(driver.refresh()); }},
      {"run_status", [](Driver& driver) { return error_of(run_control(driver).run_status()); }},
      {"pause", [](Driver& driver) { return error_of(run_control(driver).pause()); }},
      {"resume", [](Driver& driver) { return error_of(run_control(driver).resume()); }},
      {"read_registers",
       [](Driver& driver) { return error_of(driver.register_reader()->read_registers(kVcpus)); }},
      {"write_registers",
       [](Driver& driver) {
         return error_of(driver.register_writer()->write_registers(VcpuId{0}, kValues));
       }},
      {"write", write_byte},
  };
  return kOperations;
}

class OperationTime : public testing::TestWithParam<std::string> {};

TEST_P(OperationTime, EachExchangeJustWithinItsLimit_AllTogetherHaveOneLimit) {
  Attached vm;
  vm.qemu.delay_all(kTimeout * 4 / 5);
  const auto begin = Clock::now();
  const Error error = operations().at(GetParam())(*vm.driver);
  EXPECT_LT(Clock::now() - begin, kOperation + kSlack) << error.message();
}

INSTANTIATE_TEST_SUITE_P(All, OperationTime,
                         testing::Values("refresh", "run_status", "pause", "resume", "read_registers",
                                         "write_registers", "write"),
                         [](const auto& test) { return test.param; });

TEST(OperationTimeOver, Error_NamesMonitorLimitAndRemedy) {
  Attached vm;
  vm.qemu.delay_all(kTimeout / 2); // a refresh has more than four exchanges
  const auto refreshed = vm.driver->refresh();
  ASSERT_FALSE(refreshed);
  EXPECT_EQ(refreshed.error().kind, ErrorKind::timed_out);
  EXPECT_THAT(refreshed.error().text, testing::HasSubstr(vm.qemu.found().monitor_paths.front()));
  EXPECT_THAT(refreshed.error().text, testing::HasSubstr(fmt::format("{} ms", kOperation.count())));
  EXPECT_THAT(refreshed.error().text, testing::HasSubstr("larger timeout"));
}

TEST(OperationTimeOver, OneLateAnswer_ErrorNamesItsLimit) {
  Attached vm;
  vm.qemu.delay("query-status", kTimeout * 2);
  const auto status = run_control(*vm.driver).run_status();
  ASSERT_FALSE(status);
  EXPECT_EQ(status.error().kind, ErrorKind::timed_out);
  EXPECT_THAT(status.error().text, testing::HasSubstr(fmt::format(
                                       "'query-status' within the time limit of {} ms", kTimeout.count())));
  EXPECT_THAT(status.error().text, testing::HasSubstr(vm.qemu.found().monitor_paths.front()));
  EXPECT_THAT(status.error().text, testing::HasSubstr("larger timeout"));
}

/// A caller that gets timed_out knows that the pause may have taken effect, and resumes the VM.
TEST(OperationTimeOver, PauseAnsweredLate_CanBeEndedAtOnce) {
  Attached vm;
  vm.qemu.delay("\"stop\"", kTimeout * 3 / 2);
  const auto paused = run_control(*vm.driver).pause();
  ASSERT_FALSE(paused);
  EXPECT_EQ(paused.error().kind, ErrorKind::timed_out);
  const auto resumed = run_control(*vm.driver).resume();
  ASSERT_TRUE(resumed) << resumed.error().message();
  EXPECT_TRUE(vm.qemu.running());
}

/// The operation's time is over when the gdbstub has stopped the VM.
TEST(OperationTimeOver, WriteThatStoppedTheVm_ResumesIt) {
  Attached vm;
  vm.qemu.delay("query-chardev", kTimeout * 3 / 4);
  vm.qemu.delay("getfd", kTimeout * 3 / 8);
  vm.qemu.delay("gdbserver chardev:", kTimeout * 7 / 8);
  const auto begin = Clock::now();
  const Error error = write_byte(*vm.driver);
  EXPECT_LT(Clock::now() - begin, kOperation + kTimeout + kSlack);
  EXPECT_EQ(error.kind, ErrorKind::timed_out) << error.message();
  EXPECT_EQ(vm.qemu.asked("gdbserver chardev:"), 1U) << error.message();
  EXPECT_EQ(vm.qemu.asked("\"cont\""), 1U);
  EXPECT_TRUE(vm.qemu.running());
}

/// The operation's time is over when the user's gdbstub has stopped the VM.
TEST(OperationTimeOver, WriteByTheUsersStubThatStoppedTheVm_ResumesIt) {
  Attached vm;
  vm.qemu.set_chardevs(R"([{"label": "gdb", "filename": "disconnected:tcp:0.0.0.0:1234,server=on"}])");
  vm.qemu.delay("query-chardev", kTimeout / 2);
  vm.qemu.delay("getfd", kTimeout * 3 / 8);
  vm.qemu.delay("add_client", kTimeout * 7 / 8);
  const auto begin = Clock::now();
  const Error error = write_byte(*vm.driver);
  EXPECT_LT(Clock::now() - begin, kOperation + kTimeout + kSlack);
  EXPECT_EQ(error.kind, ErrorKind::timed_out) << error.message();
  EXPECT_EQ(vm.qemu.asked("add_client"), 1U) << error.message();
  EXPECT_EQ(vm.qemu.asked("gdbserver"), 0U) << "the stub is the user's";
  EXPECT_EQ(vm.qemu.asked("\"cont\""), 1U);
  EXPECT_TRUE(vm.qemu.running());
}

} // namespace
} // namespace vmemfs::qemu
