// SPDX-License-Identifier: MIT
#include "vm/prefetch/sequential_prefetch.h"

#include <utility>

namespace vmemfs {

bool SequentialPrefetch::take(const Request& request, ReadScratch& scratch) {
  const MutexLock lock{mutex_};
  if (state_ == State::idle || request_.reader != request.reader) {
    return false;
  }
  if (request_ == request) {
    changed_.wait(mutex_, [this]() REQUIRES(mutex_) { return state_ != State::fetching; });
  }
  const bool have = state_ == State::ready && request_ == request && !is_stale();
  if (have) {
    std::swap(*scratch_, scratch);
  }
  if (state_ == State::fetching) {
    unwanted_ = true;
  } else {
    state_ = State::idle; // the reader performs a queued request itself, sooner
  }
  return have;
}

void SequentialPrefetch::begin(const Request& request) {
  {
    const MutexLock lock{mutex_};
    const bool others = state_ == State::ready && request_.reader != request.reader && !is_stale();
    if (state_ == State::queued || state_ == State::fetching || others) {
      return;
    }
    state_ = State::queued;
    request_ = request;
    since_ = Clock::now();
  }
  jobs_.post_prefetch([this] { run(); });
}

void SequentialPrefetch::run() {
  ReleasableMutexLock lock{mutex_};
  if (state_ != State::queued) {
    return;
  }
  state_ = State::fetching;
  unwanted_ = false;
  since_ = Clock::now();
  if (scratch_ == nullptr) {
    scratch_ = std::make_unique<ReadScratch>(ReadScratch::two().first);
  }
  const Request request = request_;
  ReadScratch& scratch = *scratch_; // others leave it alone until the state changes
  lock.unlock();
  const bool fetched = fetch(request, scratch);
  lock.lock();
  state_ = fetched && !unwanted_ ? State::ready : State::idle;
  changed_.notify_all();
}

/// Reads the whole request; false if it cannot be read, or its bytes could still change.
bool SequentialPrefetch::fetch(const Request& request, ReadScratch& scratch) {
  const auto bytes = view_.read(request.offset, request.size, request.policy, scratch);
  const bool fetched = bytes == request.size && scratch.is_copy();
  if (fetched) {
    cache_.note_prefetched(request.size / kPageSize);
  }
  return fetched;
}

void SequentialPrefetch::drop() {
  const MutexLock lock{mutex_};
  if (state_ == State::fetching) {
    unwanted_ = true;
  } else {
    state_ = State::idle;
    scratch_.reset();
  }
}

} // namespace vmemfs
