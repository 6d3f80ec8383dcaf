// SPDX-License-Identifier: MIT
// The event log as the text of a file: a line per event, read by position.
//
// Positions are those in the whole text, so the size only grows while somebody has the file open, and
// `tail -f` works. Of a long text the oldest lines are dropped: a reader that comes to them gets a line that
// tells how many, and continues behind them. While nobody has the file open, the text begins with that line.
#pragma once

#include "fs/files/reply.h"
#include "util/mutex.h"
#include "util/worker.h"
#include "vm/event_log.h"
#include "vm/vm_counters.h"

#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace vmemfs {

/// Thread-safe. Nothing here waits for an event. Outlives the open files; end() must come before the session
/// ends.
class EventFeed : public EventListener {
public:
  using Reader = std::uint64_t;

  /// `log` must outlive it.
  static std::shared_ptr<EventFeed> create(EventLog& log);
  ~EventFeed() override = default;
  EventFeed(const EventFeed&) = delete;
  EventFeed& operator=(const EventFeed&) = delete;

  /// The file is opened; its reader starts at position 0.
  [[nodiscard]] Reader open();
  void close(Reader reader);

  [[nodiscard]] std::uint64_t size(); ///< of the text

  /// What there is at `offset`, at most `max_bytes`; empty at the end.
  [[nodiscard]] std::string read(Reader reader, std::size_t max_bytes, std::uint64_t offset);
  /// Whether there is something behind what was read last, as poll(2)'s events. If not, `handle`, which may
  /// be null, is notified when there is.
  [[nodiscard]] unsigned poll(Reader reader, std::unique_ptr<PollHandle> handle);

  /// The mount is gone: wakes those who poll. When it returns, no handle is notified any more. Called by one
  /// thread at a time.
  void end();

  void on_events() override;

  [[nodiscard]] std::size_t readers() const;
  /// Number of events that were dropped before a reader got them, summed over the readers.
  [[nodiscard]] std::uint64_t missed() const { return missed_.load(); }

  /// Limits of the text.
  static constexpr std::size_t kMaxLines = EventLog::kMaxKept;
  static constexpr std::size_t kMaxBytes = std::size_t{4} << 20U;

private:
  explicit EventFeed(EventLog& log) : log_{log} {}

  using Time = std::chrono::system_clock::time_point;

  struct Line {
    std::uint64_t begin; ///< its position
    std::uint64_t events;
    Time time;
    std::string text;
  };
  /// What a reader gets instead of the lines that were dropped, and from there on, as long as it reads on.
  struct Notice {
    std::uint64_t offset; ///< in what this reader gets
    std::string text;
    std::uint64_t position; ///< in the text, of what follows
  };
  struct State {
    std::uint64_t next_offset = 0; ///< behind what was read last
    std::uint64_t events = 0;      ///< that it has got by then, also in part, or was notified of
    std::string rest{};            ///< of the line or notice that was read in part
    std::optional<Notice> notice{};
    std::unique_ptr<PollHandle> poll_handle{};
  };

  void catch_up() REQUIRES(mutex_);
  void add(std::uint64_t events, Time time, std::string text) REQUIRES(mutex_);
  void drop_oldest() REQUIRES(mutex_);
  void start_again() REQUIRES(mutex_);
  [[nodiscard]] std::uint64_t begin() const REQUIRES(mutex_) {
    return lines_.empty() ? end_ : lines_.front().begin;
  }
  [[nodiscard]] std::uint64_t position(const State& state, std::uint64_t offset) const REQUIRES(mutex_);
  void note_read(State& state, std::uint64_t next_offset) REQUIRES(mutex_);
  void make_notice(State& state, std::uint64_t offset) REQUIRES(mutex_);
  [[nodiscard]] std::string text_at(std::uint64_t position, std::size_t max_bytes) const REQUIRES(mutex_);
  [[nodiscard]] std::uint64_t events_before(std::uint64_t position) const REQUIRES(mutex_);
  void notify() EXCLUDES(mutex_);

  EventLog& log_;
  Counter missed_;
  std::atomic<bool> posted_{false}; ///< a job of the worker is queued
  mutable Mutex mutex_;             ///< not held while an event is appended
  std::deque<Line> lines_ GUARDED_BY(mutex_);
  std::size_t bytes_ GUARDED_BY(mutex_) = 0;     ///< of lines_
  std::uint64_t end_ GUARDED_BY(mutex_) = 0;     ///< position
  std::uint64_t next_ GUARDED_BY(mutex_) = 0;    ///< number of the next event of the log
  std::uint64_t dropped_ GUARDED_BY(mutex_) = 0; ///< events, between position 0 and the first line
  std::map<Reader, State> readers_ GUARDED_BY(mutex_);
  Reader next_reader_ GUARDED_BY(mutex_) = 1;
  bool ended_ GUARDED_BY(mutex_) = false;
  Worker worker_; ///< last, so that it is destroyed first
};

} // namespace vmemfs
