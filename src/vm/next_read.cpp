#include "vm/next_read.h"

#include <utility>

namespace vmemfs {

bool NextRead::take(const Wish& wish, ReadScratch& scratch) {
  std::unique_lock lock{mutex_};
  if (state_ == State::idle || wish_.reader != wish.reader) {
    return false;
  }
  if (wish_ == wish) {
    changed_.wait(lock, [this] { return state_ != State::fetching; });
  }
  const bool have = state_ == State::ready && wish_ == wish && !is_old();
  if (have) {
    std::swap(*scratch_, scratch);
  }
  if (state_ == State::fetching) {
    unwanted_ = true;
  } else {
    state_ = State::idle; // what was only queued the reader does itself, sooner
  }
  return have;
}

void NextRead::begin(const Wish& wish) {
  {
    const std::scoped_lock lock{mutex_};
    const bool others = state_ == State::ready && wish_.reader != wish.reader && !is_old();
    if (state_ == State::queued || state_ == State::fetching || others) {
      return;
    }
    state_ = State::queued;
    wish_ = wish;
    since_ = Clock::now();
  }
  post_();
}

void NextRead::run() {
  std::unique_lock lock{mutex_};
  if (state_ != State::queued) {
    return;
  }
  state_ = State::fetching;
  unwanted_ = false;
  since_ = Clock::now();
  if (scratch_ == nullptr) {
    scratch_ = std::make_unique<ReadScratch>();
  }
  const Wish wish = wish_;
  lock.unlock();
  const bool fetched = fetch_(wish, *scratch_);
  lock.lock();
  state_ = fetched && !unwanted_ ? State::ready : State::idle;
  changed_.notify_all();
}

void NextRead::drop() {
  const std::scoped_lock lock{mutex_};
  if (state_ == State::fetching) {
    unwanted_ = true;
  } else {
    state_ = State::idle;
    scratch_.reset();
  }
}

} // namespace vmemfs
