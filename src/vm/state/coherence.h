// SPDX-License-Identifier: MIT
// The single point that declares cached memory of a VM stale and notifies every cache.
#pragma once

#include "vm/state/epoch.h"

#include <functional>
#include <utility>

namespace vmemfs {

/// Thread-safe.
class Coherence {
public:
  /// `notify` is called after each change, on any thread, and returns soon. `drop_own` releases the memory of
  /// all caches of this process. `drop_outer` returns when no other cache, such as the kernel's, contains
  /// memory of the VM any more, or after a timeout.
  /// `drop_kept`, which may be null, has outer caches drop what they keep of a guest that runs, as soon as
  /// that disturbs nobody; returns at once.
  Coherence(std::function<void()> notify, std::function<void()> drop_own, std::function<void()> drop_outer,
            std::function<void()> drop_kept = {})
      : notify_{std::move(notify)}, drop_own_{std::move(drop_own)}, drop_outer_{std::move(drop_outer)},
        drop_kept_{std::move(drop_kept)} {}

  [[nodiscard]] const Epoch& epoch() const { return epoch_; }

  /// The guest may run from now on, or has run: all cached data is stale.
  void may_change() {
    epoch_.may_change();
    notify_();
  }

  /// Memory was changed, whether or not the guest is paused.
  void changed() {
    epoch_.changed();
    notify_();
  }

  /// Other caches, such as the kernel's, have pages of a guest that runs. Nothing has changed by that.
  void drop_kept_pages() {
    if (drop_kept_) {
      drop_kept_();
    }
  }

  /// The guest was found paused after `before` was loaded. False: an event came in between; query again.
  [[nodiscard]] bool try_mark_stable(Epoch::Value before) {
    const bool stable = epoch_.try_mark_stable(before);
    if (stable) {
      notify_(); // pages mapped while it ran may differ in age
    }
    return stable;
  }

  /// The guest is about to run, or runs: all cached data is stale, and its memory is released. May block.
  void drop_all() {
    may_change();
    drop_own_();
    drop_outer_();
  }

  /// All cached data is stale, by request, and its memory is released. May block.
  void flush() {
    changed();
    drop_own_();
    drop_outer_();
  }

private:
  Epoch epoch_;
  const std::function<void()> notify_;
  const std::function<void()> drop_own_;
  const std::function<void()> drop_outer_;
  const std::function<void()> drop_kept_;
};

} // namespace vmemfs
