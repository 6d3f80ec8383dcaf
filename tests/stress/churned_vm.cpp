// SPDX-License-Identifier: MIT
#include "stress/churned_vm.h"

#include "support/test_monitor.h"
#include "util/unique_fd.h"

#include <csignal>
#include <cstring>
#include <fcntl.h>
#include <fmt/format.h>
#include <stdexcept>
#include <thread>
#include <vector>

namespace vmemfs::test {
namespace {

constexpr std::uint64_t kMarkerAt = 0x100000; ///< RAM that firmware leaves alone

std::uint64_t marker_of(std::uint64_t number) { return 0x766d'656d'0000'0000U + number; }

std::vector<std::string> qemu(std::uint64_t number, const std::string& name, const TempDir& dir) {
  std::vector<std::string> args{
      "qemu-system-x86_64", "-name", name, "-m", "16M", "-display", "none", "-nodefaults", "-no-user-config",
      // The first monitor is for the daemon, if it uses one.
      "-qmp", fmt::format("unix:{},server=on,wait=off", dir / "driver.qmp"), "-qmp",
      fmt::format("unix:{},server=on,wait=off", dir / "test.qmp"), "-device",
      fmt::format("loader,addr={:#x},data={:#x},data-len=8", kMarkerAt, marker_of(number))};
  if (number % 3 != 0) {
    args.insert(args.end(), {"-machine", "pc,memory-backend=m", "-object",
                             number % 3 == 1 ? "memory-backend-memfd,id=m,size=16M,share=on"
                                             : "memory-backend-ram,id=m,size=16M"});
  }
  if (!ChurnedVm::runs(number)) {
    args.emplace_back("-S");
  }
  return args;
}

/// The VM is complete after this.
bool greets(const std::string& monitor) {
  try {
    const TestMonitor greeted{monitor};
    return true;
  } catch (const std::exception&) { // no socket, or no listener yet
    return false;
  }
}

} // namespace

ChurnedVm::ChurnedVm(std::uint64_t number)
    : number_{number}, name_{fmt::format("churned {}", number)},
      process_{qemu(number, name_, dir_), dir_ / "qemu.log"} {
  bool started = false;
  while (!(started = greets(dir_ / "test.qmp")) && !has_ended(process_.pid())) {
    std::this_thread::sleep_for(std::chrono::milliseconds{10});
  }
  if (!started) {
    throw std::runtime_error{"QEMU does not start: " + read_file(dir_ / "qemu.log")};
  }
}

bool ChurnedVm::is_shown_in(const std::string& mountpoint) const {
  const std::string path = mountpoint + "/" + name_ + "/mem";
  const UniqueFd memory{::open(path.c_str(), O_RDONLY | O_CLOEXEC)};
  if (!memory) {
    return false;
  }
  const std::uint64_t marker = marker_of(number_);
  const auto bytes = pread_at(memory.get(), kMarkerAt, sizeof(marker)).bytes;
  return bytes.size() == sizeof(marker) && std::memcmp(bytes.data(), &marker, sizeof(marker)) == 0;
}

bool ChurnedVm::is_running() const {
  return TestMonitor{dir_ / "test.qmp"}.execute("query-status")["running"].get<bool>();
}

bool ChurnedVm::end() {
  process_.signal(number_ % 2 == 0 ? SIGKILL : SIGTERM);
  if (process_.wait(std::chrono::seconds{3})) {
    return true;
  }
  process_.signal(SIGKILL);
  if (!process_.wait(std::chrono::seconds{30})) {
    throw std::runtime_error{name_ + " does not end"};
  }
  return false;
}

} // namespace vmemfs::test
