// SPDX-License-Identifier: MIT
#include "drivers/gdbstub/session/read_queue.h"

#include <vector>

namespace vmemfs::gdbstub {

/// That of one thread, which begins with the lock held.
class ReadQueue::Turn final : public ReadSource {
public:
  Turn(ReadQueue& queue, Entry& own) : queue_{queue}, own_{own} {}
  Turn(const Turn&) = delete;
  Turn& operator=(const Turn&) = delete;
  ~Turn() override {
    const MutexLock lock{queue_.mutex_};
    for (Entry* const entry : queue_.entries_) {
      put_back(*entry);
    }
    own_.state = State::done; // no other thread takes it any more
    queue_.busy_ = false;
    queue_.changed_.notify_all();
  }

  std::vector<SharedRead*> take() override {
    std::vector<SharedRead*> reads;
    const MutexLock lock{queue_.mutex_};
    if (own_.state == State::done) { // its caller waits
      return reads;
    }
    reads.reserve(queue_.entries_.size());
    for (Entry* const entry : queue_.entries_) {
      if (entry->state == State::waiting) {
        entry->state = State::taken;
        reads.push_back(entry);
      }
    }
    return reads;
  }

  /// Another read that the time limit of this thread has ended may still have time.
  void finished(SharedRead& read, bool in_time) override {
    const MutexLock lock{queue_.mutex_};
    auto& entry = static_cast<Entry&>(read); // take() gave no others
    if (in_time || &entry == &own_) {
      entry.state = State::done;
    } else {
      put_back(entry);
    }
    queue_.changed_.notify_all();
  }

private:
  static void put_back(Entry& entry) {
    entry.state = entry.state == State::taken ? State::waiting : entry.state;
  }

  ReadQueue& queue_;
  Entry& own_;
};

/// Adds an entry of a thread while it is in read().
class ReadQueue::Listed {
public:
  Listed(ReadQueue& queue, Entry& own) : queue_{queue} {
    const MutexLock lock{queue_.mutex_};
    at_ = queue_.entries_.insert(queue_.entries_.end(), &own);
  }
  Listed(const Listed&) = delete;
  Listed& operator=(const Listed&) = delete;
  ~Listed() {
    const MutexLock lock{queue_.mutex_};
    queue_.entries_.erase(at_);
  }

private:
  ReadQueue& queue_;
  std::list<Entry*>::iterator at_;
};

Result<void> ReadQueue::read(std::span<ReadPiece> pieces, Clock::time_point deadline, const Carry& carry) {
  Entry own{{pieces}};
  const Listed listed{*this, own};
  {
    const MutexLock lock{mutex_};
    const auto has_turn = [&]() REQUIRES(mutex_) { return own.state == State::done || !busy_; };
    if (!changed_.wait_until(mutex_, deadline, has_turn)) {
      // A thread that carries it out has a time limit.
      changed_.wait(mutex_, [&]() REQUIRES(mutex_) { return own.state != State::taken; });
    }
    if (own.state == State::done) {
      return {};
    }
    if (busy_) {
      own.state = State::done; // so that it is not taken
      return fail(ErrorKind::busy, "gdbstub", "other reads have used the server's connection for too long");
    }
    busy_ = true;
  }
  Turn turn{*this, own};
  return carry(turn);
}

} // namespace vmemfs::gdbstub
