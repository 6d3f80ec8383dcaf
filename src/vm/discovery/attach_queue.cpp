// SPDX-License-Identifier: MIT
#include "vm/discovery/attach_queue.h"

#include "util/users/accounts.h"

#include <algorithm>
#include <tuple>
#include <utility>

namespace vmemfs {

AttachQueue::~AttachQueue() { stop(); }

void AttachQueue::stop() {
  std::map<Owner, Line> dropped; // destroyed outside of the lock: captures may post
  {
    const MutexLock lock{mutex_};
    stopped_ = true;
    for (auto& [owner, line] : lines_) {
      dropped[owner].jobs.swap(line.jobs);
    }
  }
  dropped.clear();
  worker_.stop();
}

void AttachQueue::post(Owner owner, Job job) {
  const MutexLock lock{mutex_};
  if (stopped_) {
    return;
  }
  Line& line = lines_[owner];
  line.trusted = !owner || is_own_or_root(*owner);
  line.jobs.push_back(std::move(job));
  start_jobs();
}

void AttachQueue::poll() {
  const MutexLock lock{mutex_};
  const auto now = Clock::now();
  std::erase_if(lines_, [&](const auto& entry) {
    const Line& line = entry.second;
    return line.jobs.empty() && line.running == 0 && line.paid_until <= now;
  });
  start_jobs();
}

bool AttachQueue::may_start(const Line& line, Clock::time_point now) const {
  if (line.jobs.empty() || line.running >= (line.trusted ? kMaxOfTrusted : kMaxOfOther)) {
    return false;
  }
  return line.trusted || (others_running_ < kMaxOfOthers && line.paid_until <= now + credit_);
}

/// Trusted owners first; of the others, the one that has the fewest jobs running and waits the longest.
void AttachQueue::start_jobs() {
  const auto now = Clock::now();
  const auto rank = [](const Line& line) { return std::tuple{!line.trusted, line.running, line.last_start}; };
  while (!stopped_ && running_ < kThreads) {
    auto next = lines_.end();
    for (auto line = lines_.begin(); line != lines_.end(); ++line) {
      if (may_start(line->second, now) && (next == lines_.end() || rank(line->second) < rank(next->second))) {
        next = line;
      }
    }
    if (next == lines_.end()) {
      return;
    }
    auto& [owner, line] = *next;
    ++running_;
    ++line.running;
    others_running_ += line.trusted ? 0 : 1;
    line.last_start = next_start_++;
    worker_.post([this, owner = owner, job = std::move(line.jobs.front())]() { run(owner, job); });
    line.jobs.pop_front();
  }
}

void AttachQueue::run(Owner owner, const Job& job) {
  const auto start = Clock::now();
  const bool done = job();
  const auto end = Clock::now();
  const MutexLock lock{mutex_};
  Line& line = lines_[owner];
  --running_;
  --line.running;
  if (!line.trusted) {
    --others_running_;
    if (!done) {
      line.paid_until = std::max(line.paid_until, end) + kPrice * (end - start);
    }
  }
  start_jobs();
}

} // namespace vmemfs
