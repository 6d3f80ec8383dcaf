// The one place where it is decided that cached memory of a VM does not hold any more, and from which every
// cache is told.
#pragma once

#include "vm/epoch.h"

#include <functional>
#include <utility>

namespace vmemfs {

/// Thread-safe.
class Coherence {
public:
  /// `notify` is called after each change, on any thread, and returns soon; `drop` returns when no cache
  /// holds memory of the VM any more, ours or the kernel's, or after a while.
  Coherence(std::function<void()> notify, std::function<void()> drop)
      : notify_{std::move(notify)}, drop_{std::move(drop)} {}

  [[nodiscard]] const Epoch& epoch() const { return epoch_; }

  /// The guest may run from now on, or has run: nothing that was read holds.
  void may_change() {
    epoch_.may_change();
    notify_();
  }

  /// Something was changed, whether the guest stands or not.
  void changed() {
    epoch_.changed();
    notify_();
  }

  /// The guest was found standing after `before` was loaded. False: something happened meanwhile, so ask
  /// anew.
  [[nodiscard]] bool try_mark_stable(Epoch::Value before) {
    const bool stable = epoch_.try_mark_stable(before);
    if (stable) {
      notify_(); // what was mapped while it ran is of different times
    }
    return stable;
  }

  /// The guest is about to run, or does: nothing that was read holds, and the memory that it takes is given
  /// back. May take a while.
  void drop_all() {
    may_change();
    drop_();
  }

private:
  Epoch epoch_;
  const std::function<void()> notify_;
  const std::function<void()> drop_;
};

} // namespace vmemfs
