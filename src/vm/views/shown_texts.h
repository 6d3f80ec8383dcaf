// SPDX-License-Identifier: MIT
// Memory limit for what the open files of a guest show: each keeps the text with which it began until it is
// closed, and how long a text is may be the guest's word.
#pragma once

#include "core/error.h"
#include "util/mutex.h"

#include <cstddef>
#include <map>
#include <memory>

namespace vmemfs {

/// Of one guest. Thread-safe.
class ShownTexts {
public:
  /// The texts of a Linux kernel, its file for debuggers and its types for Volatility have some 100 MiB.
  static constexpr std::size_t kMaxBytes = std::size_t{256} << 20U;
  /// What a short text counts, so that many handles do not add up to more.
  static constexpr std::size_t kLeastBytes = 4096;

  explicit ShownTexts(std::size_t max_bytes = kMaxBytes) : max_bytes_{max_bytes} {}

  /// A file is about to show `bytes` bytes that live as long as `owner`; those of one owner count once,
  /// however many files show them. no_memory: too many are open.
  [[nodiscard]] Result<void> add(const std::shared_ptr<const void>& owner, std::size_t bytes)
      EXCLUDES(mutex_);

  [[nodiscard]] std::size_t bytes() const EXCLUDES(mutex_); ///< that are shown now
  /// Texts that are remembered, some of which are closed: at most twice as many as were shown at once, and
  /// some.
  [[nodiscard]] std::size_t remembered() const EXCLUDES(mutex_);

private:
  static constexpr std::size_t kFirstPurge = 64;

  void forget_closed() REQUIRES(mutex_);

  const std::size_t max_bytes_;
  mutable Mutex mutex_; ///< leaf
  std::map<std::weak_ptr<const void>, std::size_t, std::owner_less<>> shown_ GUARDED_BY(mutex_);
  std::size_t bytes_ GUARDED_BY(mutex_) = 0;                ///< of all in shown_, closed ones included
  std::size_t next_purge_ GUARDED_BY(mutex_) = kFirstPurge; ///< number at which closed ones are forgotten
};

} // namespace vmemfs
