// SPDX-License-Identifier: MIT
// List of what went wrong in a soak.
#pragma once

#include <chrono>
#include <cstddef>
#include <mutex>
#include <string>

namespace vmemfs::test {

/// Thread-safe. Prints each of the first hundred faults when it happens.
class Faults {
public:
  void add(const std::string& what);
  [[nodiscard]] std::size_t count() const;
  [[nodiscard]] std::string first() const; ///< empty: there is none

private:
  const std::chrono::steady_clock::time_point begin_ = std::chrono::steady_clock::now();
  mutable std::mutex mutex_;
  std::size_t count_ = 0;
  std::string first_;
};

} // namespace vmemfs::test
