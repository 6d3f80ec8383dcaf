// SPDX-License-Identifier: MIT
// A libvirt daemon of an ordinary user, with real domains.
#pragma once

#include "support/child_process.h"
#include "support/files.h"

#include <memory>
#include <string>
#include <sys/types.h>
#include <vector>

namespace vmemfs::test {

/// What a user's libvirtd is when it was started by `virsh -c qemu:///session`; its directories are of the
/// tests' own, by the variables that name them. Ends with its domains.
class LibvirtSession {
public:
  explicit LibvirtSession(uid_t user);
  ~LibvirtSession();
  LibvirtSession(const LibvirtSession&) = delete;
  LibvirtSession& operator=(const LibvirtSession&) = delete;

  /// The words before a command that make it run as that user in that session.
  [[nodiscard]] std::vector<std::string> user() const;
  [[nodiscard]] const TempDir& dir() const { return dir_; } ///< the user's own

  /// virsh, as the user types it. Throws where it fails.
  std::string virsh(const std::vector<std::string>& args) const;
  [[nodiscard]] RunResult try_virsh(const std::vector<std::string>& args) const;

  /// Starts a domain with the tiny guest, which is up when this returns.
  void create(const std::string& name);

private:
  TempDir dir_;
  const uid_t user_;
  std::unique_ptr<ChildProcess> daemon_;
};

} // namespace vmemfs::test
