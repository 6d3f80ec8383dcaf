// SPDX-License-Identifier: MIT
#include "soak/faults.h"

#include <cstdio>
#include <fmt/format.h>

namespace vmemfs::test {

void Faults::add(const std::string& what) {
  constexpr std::size_t kMaxPrinted = 100;
  const auto since = std::chrono::steady_clock::now() - begin_;
  const std::scoped_lock lock{mutex_};
  if (++count_ == 1) {
    first_ = what;
  }
  if (count_ <= kMaxPrinted) {
    fmt::print("FAULT after {} s: {}\n", std::chrono::duration_cast<std::chrono::seconds>(since).count(),
               what);
    std::fflush(stdout);
  }
}

std::size_t Faults::count() const {
  const std::scoped_lock lock{mutex_};
  return count_;
}

std::string Faults::first() const {
  const std::scoped_lock lock{mutex_};
  return first_;
}

} // namespace vmemfs::test
