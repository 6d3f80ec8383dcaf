// SPDX-License-Identifier: MIT
// A way to read guest memory.
#pragma once

#include "support/test_monitor.h"
#include "util/unique_fd.h"

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <sys/types.h>

namespace vmemfs::bench {

/// One per reading thread; reads of one target are never concurrent.
class Target {
public:
  virtual ~Target() = default;
  /// Reads all of [offset, offset + size) or throws.
  virtual void read(std::uint64_t offset, std::byte* buffer, std::size_t size) = 0;
};

/// A file: the RAM file itself, or a file of a mount.
class FileTarget : public Target {
public:
  explicit FileTarget(const std::string& path);
  void read(std::uint64_t offset, std::byte* buffer, std::size_t size) override;

private:
  std::string path_;
  UniqueFd file_;
};

/// process_vm_readv on QEMU, as in a user's own program.
class ProcessTarget : public Target {
public:
  ProcessTarget(pid_t pid, std::uint64_t hva) : pid_{pid}, hva_{hva} {}
  void read(std::uint64_t offset, std::byte* buffer, std::size_t size) override;

private:
  pid_t pid_;
  std::uint64_t hva_; ///< of guest physical address 0
};

/// QMP pmemsave to a file on tmpfs, and reading that.
class PmemsaveTarget : public Target {
public:
  PmemsaveTarget(test::TestMonitor& monitor, std::string path) : monitor_{monitor}, path_{std::move(path)} {}
  ~PmemsaveTarget() override;
  void read(std::uint64_t offset, std::byte* buffer, std::size_t size) override;

private:
  test::TestMonitor& monitor_;
  std::string path_;
};

} // namespace vmemfs::bench
