// SPDX-License-Identifier: MIT
// The jobs of one subject, such as a VM, on a Worker that others use too.
#pragma once

#include "util/worker.h"

#include <functional>
#include <memory>

namespace vmemfs {

/// Runs its jobs one at a time, in the order in which they became due: however many there are and however
/// long they take, they occupy one thread of the worker. Thread-safe. Jobs must not throw.
class Lane {
public:
  /// `worker` outlives this object. A job may run after this object is destroyed.
  explicit Lane(Worker& worker);

  void post(std::function<void()> job) const { post_after({}, std::move(job)); }
  void post_after(Worker::Clock::duration delay, std::function<void()> job) const;

private:
  class Jobs;

  Worker& worker_;
  std::shared_ptr<Jobs> jobs_;
};

} // namespace vmemfs
