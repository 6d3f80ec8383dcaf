// SPDX-License-Identifier: MIT
// The text that is made of the records of a kernel's log.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace vmemfs {

/// Not thread-safe.
class LogText {
public:
  /// Max size; the kernel's default is a log of 128 KiB to 1 MiB.
  static constexpr std::size_t kMaxBytes = std::size_t{64} << 20U;

  /// One record. `message` comes from the guest and can have any bytes.
  void add(std::uint64_t time_ns, std::string_view message);
  /// Records that could not be read.
  void add_lost(std::size_t count) { lost_ += count; }

  [[nodiscard]] bool is_empty() const { return text_.empty(); }
  /// No further record is taken.
  [[nodiscard]] bool is_full() const { return text_.size() >= kMaxBytes; }

  /// With a last line about what is missing, if anything is.
  [[nodiscard]] std::string finish() &&;

private:
  std::string text_;
  std::size_t lost_ = 0;
};

} // namespace vmemfs
