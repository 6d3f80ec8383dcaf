// SPDX-License-Identifier: MIT
// Readers of `.vmemfs/events`: the position of each, and the requests that wait for the next event.
//
// A request that has to wait occupies no thread of the session: it is kept here, and answered by a separate
// thread when there is something to read, when its caller gives up, or at the end.
#pragma once

#include "core/error.h"
#include "fs/files/open_file.h"
#include "fs/files/reply.h"
#include "util/mutex.h"
#include "util/worker.h"
#include "vm/event_log.h"
#include "vm/vm_counters.h"

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <list>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace vmemfs {

/// Thread-safe. Outlives the open files; end() must come before the session ends.
class EventReaders : public EventListener, private InterruptListener {
public:
  using Id = std::uint64_t;

  /// `log` must outlive it.
  static std::shared_ptr<EventReaders> create(EventLog& log);
  ~EventReaders() override = default;
  EventReaders(const EventReaders&) = delete;
  EventReaders& operator=(const EventReaders&) = delete;

  /// A reader of the events from now on.
  [[nodiscard]] Id add();
  /// Requests that still wait are answered with an error.
  void remove(Id id);

  /// Answers with as many whole lines as fit. A line that does not fit at all is split: the next read gets
  /// the rest. If there is nothing to read it waits, unless the request is not to wait (would_block).
  void read(Id id, Reply& reply, const ReadRequest& request);
  /// Answers whether the file is readable; `handle` may be null.
  void poll(Id id, Reply& reply, std::unique_ptr<PollHandle> handle);

  /// Answers all waiting requests, and from now on every read, with vm_gone. When it returns, no answer to
  /// the kernel is under way. Called by one thread at a time.
  void end();

  void on_events() override;

  [[nodiscard]] std::size_t count() const;
  /// Number of events that were overwritten before a reader got them, summed over the readers.
  [[nodiscard]] std::uint64_t missed() const { return missed_.load(); }

private:
  explicit EventReaders(EventLog& log) : log_{log} {}

  /// A read that waits.
  struct Waiting {
    std::unique_ptr<Reply> reply;
    std::size_t size;
  };
  struct Reader {
    std::uint64_t next;                        ///< number of the event to be read next
    std::string rest{};                        ///< the rest of a line that was read in part
    std::list<Waiting> waiting{};              ///< in order of arrival
    std::unique_ptr<PollHandle> poll_handle{}; ///< notified when the file becomes readable
  };
  /// Answers that are given when no lock is held.
  struct Answers {
    struct Text {
      std::unique_ptr<Reply> reply;
      std::string text;
    };
    std::vector<Text> texts;
    std::vector<std::unique_ptr<PollHandle>> polls;
    std::list<Waiting> interrupted;
    std::list<Waiting> ended;

    void give();
  };

  void on_interrupt(const void* reply) override;
  void post_answers();
  [[nodiscard]] Answers collect() EXCLUDES(mutex_);
  void collect_from(Reader& reader, Answers& answers) REQUIRES(mutex_);
  [[nodiscard]] bool readable(const Reader& reader) const REQUIRES(mutex_);
  [[nodiscard]] std::string take(Reader& reader, std::size_t size) REQUIRES(mutex_);

  EventLog& log_;
  Counter missed_;
  std::atomic<bool> posted_{false}; ///< a job of the worker is queued
  mutable Mutex mutex_;             ///< not held while an event is appended
  std::map<Id, Reader> readers_ GUARDED_BY(mutex_);
  std::list<Waiting> interrupted_ GUARDED_BY(mutex_); ///< their callers have given up
  Id next_id_ GUARDED_BY(mutex_) = 1;
  bool ended_ GUARDED_BY(mutex_) = false;
  Worker worker_; ///< last, so that it is destroyed first
};

} // namespace vmemfs
