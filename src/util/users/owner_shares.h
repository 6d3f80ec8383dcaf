// SPDX-License-Identifier: MIT
// Shares of something that this process has little of, such as descriptors: one user's VMs cannot take what
// those of the others need.
#pragma once

#include "util/mutex.h"
#include "util/users/accounts.h"

#include <cstddef>
#include <map>
#include <optional>
#include <sys/types.h>
#include <utility>

namespace vmemfs {

/// Thread-safe. Must outlive its shares.
class OwnerShares {
public:
  /// Users other than root and the own one are "others".
  struct Limits {
    std::size_t one_other;  ///< of each other user
    std::size_t all_others; ///< of all of them
    std::size_t all;
  };

  explicit OwnerShares(const Limits& limits) : limits_{limits} {}
  OwnerShares(const OwnerShares&) = delete;
  OwnerShares& operator=(const OwnerShares&) = delete;
  ~OwnerShares() = default;

  /// One piece, given back when it is destroyed.
  class Share {
  public:
    Share(Share&& other) noexcept : shares_{std::exchange(other.shares_, nullptr)}, owner_{other.owner_} {}
    Share& operator=(Share&& other) noexcept {
      std::swap(shares_, other.shares_);
      std::swap(owner_, other.owner_);
      return *this;
    }
    Share(const Share&) = delete;
    Share& operator=(const Share&) = delete;
    ~Share() {
      if (shares_ != nullptr) {
        shares_->give_back(owner_);
      }
    }

  private:
    friend class OwnerShares;
    Share(OwnerShares& shares, uid_t owner) : shares_{&shares}, owner_{owner} {}

    OwnerShares* shares_;
    uid_t owner_;
  };

  /// nullopt: the user, or all together, have as many as they may.
  [[nodiscard]] std::optional<Share> take(uid_t owner) EXCLUDES(mutex_) {
    const bool is_other = !is_own_or_root(owner);
    const MutexLock lock{mutex_};
    const auto known = taken_.find(owner);
    const std::size_t of_owner = known == taken_.end() ? 0 : known->second;
    if (all_ >= limits_.all ||
        (is_other && (of_owner >= limits_.one_other || others_ >= limits_.all_others))) {
      return std::nullopt;
    }
    ++taken_[owner];
    ++all_;
    others_ += is_other ? 1 : 0;
    return Share{*this, owner};
  }

private:
  void give_back(uid_t owner) EXCLUDES(mutex_) {
    const MutexLock lock{mutex_};
    const auto known = taken_.find(owner);
    if (--known->second == 0) {
      taken_.erase(known);
    }
    --all_;
    others_ -= is_own_or_root(owner) ? 0 : 1;
  }

  const Limits limits_;
  Mutex mutex_; ///< leaf
  std::map<uid_t, std::size_t> taken_ GUARDED_BY(mutex_);
  std::size_t others_ GUARDED_BY(mutex_) = 0;
  std::size_t all_ GUARDED_BY(mutex_) = 0;
};

} // namespace vmemfs
