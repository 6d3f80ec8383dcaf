// SPDX-License-Identifier: MIT
#include "support/qemu_guest.h"

#include "support/users.h"

#include <cstring>
#include <filesystem>
#include <fmt/format.h>
#include <stdexcept>

namespace vmemfs::test {
namespace {

// Without arch-capabilities: some KVMs report a value of it that they then refuse.
std::vector<std::string> qemu_args(const GuestOptions& options, const TempDir& dir) {
  std::vector<std::string> args;
  if (options.user) {
    args = as_user(*options.user);
    give(dir.path(), *options.user);
  }
  args.insert(args.end(), {options.program, "-name", options.name, "-accel", options.accel, "-cpu",
                           options.accel == "kvm" ? "host,arch-capabilities=off" : "max", "-machine",
                           options.machine, "-m", options.memory, "-nodefaults", "-no-user-config",
                           "-display", "none", "-serial", "file:" + (dir / "serial")});
  // The driver tries monitors in the order of the command line; the tests' own is taken by the tests.
  if (options.monitor_for_driver) {
    args.insert(args.end(), {"-qmp", "unix:" + (dir / "driver.qmp") + ",server=on,wait=off"});
  }
  args.insert(args.end(), {"-qmp", "unix:" + (dir / "test.qmp") + ",server=on,wait=off"});
  if (options.kernel) {
    args.insert(args.end(), {"-kernel", VMEMFS_TINY_GUEST, "-append",
                             "fill=" + options.fill + (options.idle ? " idle" : "")});
  }
  args.insert(args.end(), options.extra.begin(), options.extra.end());
  return args;
}

} // namespace

QemuGuest::QemuGuest(const GuestOptions& options) : process_{qemu_args(options, dir_), dir_ / "output"} {
  const std::string socket = dir_ / "test.qmp";
  const bool up =
      eventually([&] { return std::filesystem::exists(socket) || process_.wait({}).has_value(); });
  if (!up || process_.wait({})) {
    throw std::runtime_error{"QEMU does not start: " + read_file(dir_ / "output")};
  }
  // The socket's file is there a moment before QEMU listens.
  static_cast<void>(eventually([&] {
    try {
      monitor_ = std::make_unique<TestMonitor>(socket);
    } catch (const std::runtime_error&) {
      return process_.wait({}).has_value();
    }
    return true;
  }));
  if (monitor_ == nullptr) {
    throw std::runtime_error{"no monitor: " + read_file(dir_ / "output")};
  }
  if (options.kernel && !options.waits && !wait_for_serial("vmemfs-guest ready", kGuestBoot)) {
    throw std::runtime_error{"the guest does not come up: " + serial()};
  }
}

bool QemuGuest::wait_for_serial(std::string_view text, std::chrono::milliseconds limit) const {
  return eventually([&] { return serial().find(text) != std::string::npos; }, limit);
}

void QemuGuest::pmemsave(std::uint64_t gpa, std::uint64_t size, const std::string& path) {
  monitor_->execute("pmemsave", {{"val", gpa}, {"size", size}, {"filename", path}});
}

std::vector<std::byte> QemuGuest::pmemsave(std::uint64_t gpa, std::uint64_t size) {
  const std::string path = dir_ / "pmemsave";
  pmemsave(gpa, size, path);
  const std::string text = read_file(path);
  std::vector<std::byte> bytes(text.size());
  std::memcpy(bytes.data(), text.data(), text.size());
  return bytes;
}

void QemuGuest::plug_vcpu(unsigned core) {
  for (const auto& slot : monitor_->execute("query-hotpluggable-cpus")) {
    if (!slot.contains("qom-path") && slot["props"].value("core-id", 0U) == core) {
      auto arguments = slot["props"];
      arguments["driver"] = slot["type"];
      arguments["id"] = fmt::format("vcpu{}", core);
      monitor_->execute("device_add", arguments);
      return;
    }
  }
  throw std::runtime_error{fmt::format("there is no room for a vCPU {}", core)};
}

} // namespace vmemfs::test
