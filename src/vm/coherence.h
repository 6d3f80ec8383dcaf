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
  /// `tell` is called after each change, on any thread, and returns soon; `drop_outer` returns when no cache
  /// outside of this library (the kernel's) holds memory of the VM any more, or after a while.
  Coherence(std::function<void()> tell, std::function<void()> drop_outer)
      : tell_{std::move(tell)}, drop_outer_{std::move(drop_outer)} {}

  [[nodiscard]] const Epoch& epoch() const { return epoch_; }

  /// The guest may run from now on, or has run: nothing that was read holds.
  void may_change() {
    epoch_.may_change();
    tell_();
  }

  /// Something was changed, whether the guest stands or not.
  void changed() {
    epoch_.changed();
    tell_();
  }

  /// The guest was found standing after `before` was loaded. False: something happened meanwhile, so ask
  /// anew.
  [[nodiscard]] bool stands_since(Epoch::Value before) {
    const bool stands = epoch_.stands_since(before);
    if (stands) {
      tell_(); // what was mapped while it ran is of different times
    }
    return stands;
  }

  /// Before the guest is let run. Not to be called on a thread that answers reads which the kernel may wait
  /// for.
  void about_to_run() {
    may_change();
    drop_outer_();
  }

private:
  Epoch epoch_;
  const std::function<void()> tell_;
  const std::function<void()> drop_outer_;
};

} // namespace vmemfs
