// SPDX-License-Identifier: MIT
// Memory limit for what is kept of the Linux kernels of all guests of a mount.
#pragma once

#include "util/mutex.h"

#include <cstddef>
#include <list>

namespace vmemfs {

/// Thread-safe. Outlives its users. What open files show stays until they are closed, beside the limit: see
/// ShownTexts.
class KernelBudget {
public:
  /// Enough for the symbols, types and images of about four kernels.
  static constexpr std::size_t kMaxBytes = std::size_t{256} << 20U;

  explicit KernelBudget(std::size_t max_bytes = kMaxBytes) : max_bytes_{max_bytes} {}
  KernelBudget(const KernelBudget&) = delete;
  KernelBudget& operator=(const KernelBudget&) = delete;
  ~KernelBudget() = default;

  /// What is kept for one guest. Both calls wait for nobody, and call nothing of the budget.
  class User {
  public:
    User() = default;
    User(const User&) = delete;
    User& operator=(const User&) = delete;
    virtual ~User() = default;

    [[nodiscard]] virtual std::size_t kept_bytes() const = 0;
    virtual void drop_kept() = 0;
  };

  void add(User& user) EXCLUDES(mutex_);
  void remove(User& user) EXCLUDES(mutex_);
  /// It was used, and may keep more than before: what others keep is dropped, the least recently used first,
  /// until the limit is kept. Its own is not: files that are opened again and again share it, and what one
  /// guest can keep is bounded by the limits of what is read.
  void note_use(User& user) EXCLUDES(mutex_);

  [[nodiscard]] std::size_t kept_bytes() const EXCLUDES(mutex_);

private:
  [[nodiscard]] std::size_t total() const REQUIRES(mutex_);

  const std::size_t max_bytes_;
  mutable Mutex mutex_;                       ///< taken before a user's
  std::list<User*> users_ GUARDED_BY(mutex_); ///< the least recently used first
};

} // namespace vmemfs
