// SPDX-License-Identifier: MIT
// Jobs of one VM on the workers of its mount.
#pragma once

#include "util/lane.h"
#include "util/worker.h"
#include "vm/state/state_polls.h"

#include <functional>
#include <memory>
#include <utility>

namespace vmemfs {

/// Thread-safe once the owner is set. The owner lives while a job of its runs; a job that is due after the
/// owner was destroyed is dropped. Jobs that may wait for the driver run one at a time, so that a VM that
/// hangs occupies one thread. Jobs must not throw.
class VmJobs {
public:
  /// The workers outlive this object. `general`: for jobs that may wait for the driver; `prefetch`: for reads
  /// that are likely to be requested; `slow_prefetch`: the same, for slow drivers. `polls`: of all VMs of the
  /// mount; null: of this VM alone.
  VmJobs(Worker& general, Worker& prefetch, Worker& slow_prefetch,
         std::shared_ptr<StatePolls> polls = nullptr)
      : general_{general}, prefetch_{prefetch}, slow_prefetch_{slow_prefetch},
        polls_{polls != nullptr ? std::move(polls) : std::make_shared<StatePolls>(general)} {}

  /// Set once, before the first job. The owner contains all that the jobs use.
  void set_owner(std::weak_ptr<const void> owner) { owner_ = std::move(owner); }

  template <typename Job> void post_after(Worker::Clock::duration delay, Job job) const {
    general_.post_after(delay, owned(std::move(job)));
  }
  /// A job that returns soon; see StatePolls.
  void post_poll(StatePolls::Clock::time_point moment, std::function<void()> poll) const {
    polls_->post(moment, owner_, std::move(poll));
  }
  template <typename Job> void post_prefetch(Job job) const { prefetch_.post(owned(std::move(job))); }
  template <typename Job> void post_slow_prefetch(Job job) const {
    slow_prefetch_.post(owned(std::move(job)));
  }

private:
  template <typename Job> [[nodiscard]] auto owned(Job job) const {
    return [owner = owner_, job = std::move(job)] {
      if (const auto alive = owner.lock()) {
        job();
      }
    };
  }

  const Lane general_;
  Worker& prefetch_;
  Worker& slow_prefetch_;
  const std::shared_ptr<StatePolls> polls_;
  std::weak_ptr<const void> owner_;
};

} // namespace vmemfs
