// SPDX-License-Identifier: MIT
// Client of QEMU's qtest protocol, by which a test does what a guest would: it accesses ports and memory.
//
// Protocol: one line a command and an answer, "OK" or "OK VALUE" (QEMU's softmmu/qtest.c).
#pragma once

#include "util/unique_fd.h"

#include <cstdint>
#include <string>
#include <string_view>

namespace vmemfs::qemu {

/// Errors throw std::runtime_error.
class QtestClient {
public:
  /// Of `-qtest unix:PATH,server=on,wait=off`.
  explicit QtestClient(const std::string& path);

  /// `what` is a command such as "writel" or "outl".
  void write(std::string_view what, std::uint64_t address, std::uint64_t value);
  [[nodiscard]] std::uint64_t read(std::string_view what, std::uint64_t address);

private:
  std::string ask(const std::string& line);

  UniqueFd socket_;
  std::string received_; ///< what is not a whole line yet
};

} // namespace vmemfs::qemu
