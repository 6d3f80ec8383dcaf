// SPDX-License-Identifier: MIT
#include "vm/state/state_polls.h"

#include "util/mutex.h"

#include <map>
#include <utility>
#include <vector>

namespace vmemfs {

/// The polls of the moments to come.
class StatePolls::Due {
public:
  struct Poll {
    std::weak_ptr<const void> owner;
    std::function<void()> call;
  };

  /// True for the first of its moment.
  bool add(Clock::time_point moment, Poll poll) EXCLUDES(mutex_) {
    const MutexLock lock{mutex_};
    std::vector<Poll>& polls = polls_[moment];
    polls.push_back(std::move(poll));
    return polls.size() == 1;
  }

  [[nodiscard]] std::vector<Poll> take(Clock::time_point moment) EXCLUDES(mutex_) {
    const MutexLock lock{mutex_};
    const auto node = polls_.extract(moment);
    return node ? std::move(node.mapped()) : std::vector<Poll>{};
  }

private:
  Mutex mutex_;
  std::map<Clock::time_point, std::vector<Poll>> polls_ GUARDED_BY(mutex_);
};

StatePolls::StatePolls(Worker& jobs) : jobs_{jobs}, due_{std::make_shared<Due>()} {}

StatePolls::Clock::time_point StatePolls::next_moment(Clock::duration period) {
  const auto now = Clock::now().time_since_epoch();
  return Clock::time_point{now - now % period + period};
}

void StatePolls::post(Clock::time_point moment, std::weak_ptr<const void> owner,
                      std::function<void()> poll) const {
  if (!due_->add(moment, {std::move(owner), std::move(poll)})) {
    return;
  }
  jobs_.post_after(moment - Clock::now(), [&jobs = jobs_, due = due_, moment] {
    for (const Due::Poll& each : due->take(moment)) {
      if (auto alive = each.owner.lock()) {
        each.call();
        if (alive.use_count() == 1) { // the end of a VM may wait for its driver: the others do not
          jobs.post([ended = std::move(alive)] {});
        }
      }
    }
  });
}

} // namespace vmemfs
