// SPDX-License-Identifier: MIT
// A mount of bench/minimal_server: the least that a FUSE server takes for a read.
#pragma once

#include "support/child_process.h"
#include "support/files.h"

#include <string>
#include <sys/types.h>
#include <vector>

namespace vmemfs::bench {

class MinimalMount {
public:
  /// `memory`: the server's arguments that say what is read; none: bytes that are already there.
  /// Throws std::runtime_error if the mount does not appear.
  explicit MinimalMount(const std::vector<std::string>& memory = {});
  ~MinimalMount(); ///< unmounts
  MinimalMount(const MinimalMount&) = delete;
  MinimalMount& operator=(const MinimalMount&) = delete;

  /// Its one file.
  [[nodiscard]] std::string file() const { return dir_ / "mnt/bytes"; }
  [[nodiscard]] pid_t pid() const { return server_.pid(); }

private:
  test::TempDir dir_;
  test::ChildProcess server_;
};

} // namespace vmemfs::bench
