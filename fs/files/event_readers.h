// SPDX-License-Identifier: MIT
// Those who read `.vmemfs/events`: how far each one is, and the requests that wait for the next event.
//
// A request that has to wait occupies no thread of the session: it is kept here, and answered by a thread of
// our own when there is something to read, when its caller gives up, or at the end.
#pragma once

#include "core/error.h"
#include "fs/files/open_file.h"
#include "fs/files/reply.h"
#include "util/worker.h"
#include "vm/event_log.h"
#include "vm/vm_counters.h"

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <list>
#include <map>
#include <memory>
#include <mutex>
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

  /// A reader of what comes from now on.
  [[nodiscard]] Id add();
  /// Whatever it still waits for is answered with an error.
  void remove(Id id);

  /// Answers with whole lines, as far as they fit; of a line that does not fit at all, with its beginning,
  /// and the next read goes on there. Without anything to read it waits, unless asked not to (would_block).
  void read(Id id, Reply& reply, const ReadRequest& request);
  /// Readable or not; `handle` may be null.
  void poll(Id id, Reply& reply, std::unique_ptr<PollHandle> handle);

  /// Everything that waits is answered, and from now on all reads are, with vm_gone: nothing more comes. When
  /// it returns nothing is being said to the kernel any more. By one thread at a time.
  void end();

  void on_events() override;

  [[nodiscard]] std::size_t count() const;
  /// How many events were overwritten before their readers got to them; each reader counts.
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
    std::string rest{};                        ///< of a line of which the beginning was read
    std::list<Waiting> waiting{};              ///< in the order in which they came
    std::unique_ptr<PollHandle> poll_handle{}; ///< somebody may be waiting for it to become readable
  };
  /// What is to be said to the kernel once no lock is held.
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
  [[nodiscard]] Answers collect();

  // With mutex_ held.
  [[nodiscard]] bool readable(const Reader& reader) const;
  [[nodiscard]] std::string take(Reader& reader, std::size_t size);
  void collect_from(Reader& reader, Answers& answers);

  EventLog& log_;
  Counter missed_;
  std::atomic<bool> posted_{false}; ///< the worker is going to look
  mutable std::mutex mutex_;        ///< guards what follows, up to the worker; never held while appending
  std::map<Id, Reader> readers_;
  std::list<Waiting> interrupted_; ///< whose callers have given up
  Id next_id_ = 1;
  bool ended_ = false;
  Worker worker_; ///< last, so that it ends first
};

} // namespace vmemfs
