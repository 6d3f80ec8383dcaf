// SPDX-License-Identifier: MIT
// A real QEMU with the tiny test guest in it.
#pragma once

#include "support/child_process.h"
#include "support/files.h"
#include "support/test_monitor.h"

#include <chrono>
#include <optional>
#include <string>
#include <sys/types.h>
#include <vector>

namespace vmemfs::test {

/// A KVM that emulates much takes nearly a minute for firmware and guest if other guests keep the CPUs busy.
inline constexpr std::chrono::seconds kGuestBoot{150};

struct GuestOptions {
  std::string program = "qemu-system-x86_64";
  std::string machine = "pc";
  std::string accel = "tcg";
  std::string memory = "64M";
  std::string fill = "page";           ///< see guests/tiny: page, all, none, NM
  std::vector<std::string> extra = {}; ///< more arguments for QEMU
  bool kernel = true;                  ///< boot the tiny guest; else firmware alone
  bool waits = false;                  ///< it waits for a migration or a command, and is not waited for
  bool idle = true;                    ///< the guest's counter ticks instead of racing
  bool monitor_for_driver = true;      ///< a second QMP socket, for vmemfs
  std::string name = "guest";
  std::optional<uid_t> user =
      {}; ///< who runs QEMU and owns its files, where we are root; nobody else gets at them
};

/// Runs when constructed: the guest has filled its memory and counts. Throws where it does not come up.
class QemuGuest {
public:
  explicit QemuGuest(const GuestOptions& options);

  [[nodiscard]] pid_t pid() const { return process_.pid(); }
  [[nodiscard]] const TempDir& dir() const { return dir_; } ///< of its sockets and files
  [[nodiscard]] ChildProcess& process() { return process_; }
  [[nodiscard]] TestMonitor& monitor() { return *monitor_; } ///< the tests' own socket
  [[nodiscard]] std::string driver_socket() const { return dir_ / "driver.qmp"; }
  [[nodiscard]] std::string test_socket() const { return dir_ / "test.qmp"; } ///< held by monitor()
  [[nodiscard]] std::string serial() const { return read_file(dir_ / "serial"); }
  [[nodiscard]] bool wait_for_serial(std::string_view text,
                                     std::chrono::milliseconds limit = std::chrono::seconds{60}) const;

  void pause() { monitor_->execute("stop"); }
  void resume() { monitor_->execute("cont"); }
  [[nodiscard]] bool running() { return monitor_->execute("query-status")["running"].get<bool>(); }

  /// Plugs a vCPU in; needs "-smp N,maxcpus=MORE". `core`: of the first socket, which is the vCPU's index
  /// too.
  void plug_vcpu(unsigned core);

  /// Guest physical memory as QEMU itself writes it out, in a file or as bytes.
  void pmemsave(std::uint64_t gpa, std::uint64_t size, const std::string& path);
  [[nodiscard]] std::vector<std::byte> pmemsave(std::uint64_t gpa, std::uint64_t size);

private:
  TempDir dir_;
  ChildProcess process_;
  std::unique_ptr<TestMonitor> monitor_;
};

} // namespace vmemfs::test
