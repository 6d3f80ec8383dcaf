// SPDX-License-Identifier: MIT
// A libvirt daemon of the tests' own, with real domains: a host beside this one.
#pragma once

#include "support/child_process.h"
#include "support/files.h"
#include "support/test_monitor.h"

#include <csignal>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace vmemfs::test {

struct DomainOptions {
  std::string name = "web01";
  std::string uuid = {}; ///< empty: libvirt makes one up
  std::string machine = "pc";
  unsigned memory_mib = 64;
  bool kernel = true;                   ///< boot the tiny guest; else firmware alone
  std::string vcpus = "<vcpu>2</vcpu>"; ///< XML
  std::string fill = "page";            ///< see guests/tiny
  bool monitor_for_test = true;         ///< a second QMP socket, which monitor() holds
  std::string arguments = "idle";       ///< more words for the tiny guest
  std::string more_os = {};             ///< XML in <os>
  std::string more_devices = {};        ///< XML
  std::string more = {};                ///< XML beside those
  std::string type = "qemu";            ///< kvm: not emulated
};

/// Whether a libvirt daemon can be started here: root, and the packages. Else why not.
[[nodiscard]] std::string why_no_libvirt();

/// A privileged libvirtd in a mount namespace of its own, where all of libvirt's directories are its own, so
/// that a real libvirt of this host is never touched and many can run at once. QEMU runs as root without a
/// sandbox around its files.
class LibvirtHost {
public:
  /// How it can be reached from afar, on 127.0.0.1: not at all; without a password; by those who have a
  /// certificate of its own authority.
  enum class Listen : unsigned char { local, tcp, tls };

  explicit LibvirtHost(Listen listen = Listen::local);
  ~LibvirtHost(); ///< ends the domains as well
  LibvirtHost(const LibvirtHost&) = delete;
  LibvirtHost& operator=(const LibvirtHost&) = delete;

  [[nodiscard]] std::string uri() const;     ///< by its socket
  [[nodiscard]] std::string tcp_uri() const; ///< as a host far away is reached
  [[nodiscard]] std::string tls_uri() const;
  [[nodiscard]] std::string socket() const;                                 ///< the one of uri()
  [[nodiscard]] unsigned migration_port() const { return migration_port_; } ///< a free one
  [[nodiscard]] const TempDir& dir() const { return dir_; }

  /// SIGKILL; domains go on.
  void kill_daemon();
  void start_daemon();
  void stop_daemon() const { daemon_->signal(SIGSTOP); }
  void continue_daemon() const { daemon_->signal(SIGCONT); }

  /// virsh, on this daemon. Throws where it fails.
  std::string virsh(const std::vector<std::string>& args) const;
  [[nodiscard]] RunResult try_virsh(const std::vector<std::string>& args) const;

  /// Starts a domain that is gone for good when it ends. The tiny guest is up when this returns.
  void create(const DomainOptions& options = {});
  /// `files`: what the files of the domain are called after; empty: its name.
  [[nodiscard]] std::string xml(const DomainOptions& options, std::string files = {}) const;
  [[nodiscard]] pid_t pid_of(const std::string& domain) const; ///< by libvirt's run-time state; 0: none
  [[nodiscard]] std::string state_of(const std::string& domain) const; ///< as virsh domstate; empty: none
  [[nodiscard]] TestMonitor monitor(const std::string& domain) const;
  [[nodiscard]] std::string serial(const std::string& domain) const;

private:
  TempDir dir_;
  const Listen listen_;
  const unsigned port_;
  const unsigned migration_port_;
  std::unique_ptr<ChildProcess> daemon_;
};

} // namespace vmemfs::test
