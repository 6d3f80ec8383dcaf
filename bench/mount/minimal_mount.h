// SPDX-License-Identifier: MIT
// A mount of bench/minimal_server: what the kernel and libfuse take of a read.
#pragma once

#include "support/child_process.h"
#include "support/files.h"

#include <string>
#include <sys/types.h>

namespace vmemfs::bench {

class MinimalMount {
public:
  /// Throws std::runtime_error if it does not appear.
  MinimalMount();
  ~MinimalMount(); ///< unmounts
  MinimalMount(const MinimalMount&) = delete;
  MinimalMount& operator=(const MinimalMount&) = delete;

  /// Its file, of zeros.
  [[nodiscard]] std::string file() const { return dir_ / "mnt/bytes"; }
  [[nodiscard]] pid_t pid() const { return server_.pid(); }

private:
  test::TempDir dir_;
  test::ChildProcess server_;
};

} // namespace vmemfs::bench
