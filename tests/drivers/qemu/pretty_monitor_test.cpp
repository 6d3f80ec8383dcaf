// SPDX-License-Identifier: MIT
// Real QEMUs whose monitor prints its messages over several lines (-qmp-pretty, -mon pretty=on).
#include "drivers/qemu/qemu_type.h"
#include "support/qemu_guest.h"
#include "util/fd_watcher.h"
#include "util/worker.h"

#include <chrono>
#include <condition_variable>
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <tuple>
#include <vector>

namespace vmemfs::qemu {
namespace {

using namespace std::chrono_literals;

class Events final : public VmListener {
public:
  void on_vm_event(VmEvent event) override {
    const std::scoped_lock lock{mutex_};
    seen_.insert(event);
    changed_.notify_all();
  }

  [[nodiscard]] bool wait_for(VmEvent event) {
    std::unique_lock lock{mutex_};
    return changed_.wait_for(lock, 20s, [&] { return seen_.contains(event); });
  }

private:
  std::mutex mutex_;
  std::condition_variable changed_;
  std::set<VmEvent> seen_;
};

std::vector<std::string> monitor_options(const std::string& how, const std::string& path) {
  if (how == "qmp_pretty") {
    return {"-qmp-pretty", fmt::format("unix:{},server=on,wait=off", path)};
  }
  return {"-chardev", fmt::format("socket,id=m,path={},server=on,wait=off", path), "-mon",
          "chardev=m,mode=control,pretty=on"};
}

/// How the monitor is made, and how the driver finds it.
class PrettyMonitor : public testing::TestWithParam<std::tuple<std::string, std::string>> {
protected:
  Result<std::unique_ptr<Driver>> attach() {
    const bool by_path = std::get<1>(GetParam()) == "qmp";
    const std::string which = by_path ? "qmp=" + path_ : fmt::format("pid={}", guest_.pid());
    const DriverType& type = qemu_driver_type();
    return type.open(Params::parse(which + ",keep=on", type.params()).value(), {watcher_, worker_});
  }

  test::TempDir dir_;
  std::string path_ = dir_ / "pretty";
  test::QemuGuest guest_{
      {.extra = monitor_options(std::get<0>(GetParam()), path_), .monitor_for_driver = false}};
  FdWatcher watcher_;
  Worker worker_;
};

TEST_P(PrettyMonitor, AttachesAndDoesAll) {
  auto driver = attach();
  ASSERT_TRUE(driver) << driver.error().message();
  RunControl* const control = (*driver)->run_control();
  ASSERT_NE(control, nullptr) << (*driver)->access().run_control;
  EXPECT_THAT((*driver)->access().run_control, testing::HasSubstr(path_));
  const auto paused = control->pause();
  ASSERT_TRUE(paused) << paused.error().message();
  EXPECT_FALSE(guest_.running());
  const auto registers = (*driver)->register_reader()->read_vcpu(VcpuId{0});
  EXPECT_TRUE(registers) << registers.error().message();
  const auto refreshed = (*driver)->refresh();
  EXPECT_TRUE(refreshed) << refreshed.error().message();
  const std::array one{std::byte{1}};
  const auto written = (*driver)->memory_writer()->write(Gpa{0x1800000}, one);
  EXPECT_FALSE(written.failure) << written.failure->message();
  const auto resumed = control->resume();
  ASSERT_TRUE(resumed) << resumed.error().message();
  EXPECT_TRUE(guest_.running());
}

TEST_P(PrettyMonitor, Events_AreDelivered) {
  auto driver = attach();
  ASSERT_TRUE(driver) << driver.error().message();
  ASSERT_NE((*driver)->run_control(), nullptr) << (*driver)->access().run_control;
  Events events;
  (*driver)->set_listener(&events);
  guest_.pause();
  EXPECT_TRUE(events.wait_for(VmEvent::paused));
  guest_.resume();
  EXPECT_TRUE(events.wait_for(VmEvent::resumed));
  (*driver)->set_listener(nullptr);
}

INSTANTIATE_TEST_SUITE_P(Monitors, PrettyMonitor,
                         testing::Combine(testing::Values("qmp_pretty", "mon_pretty"),
                                          testing::Values("pid", "qmp")),
                         [](const auto& test) {
                           return std::get<0>(test.param) + "_by_" + std::get<1>(test.param);
                         });

} // namespace
} // namespace vmemfs::qemu
