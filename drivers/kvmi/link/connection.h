// SPDX-License-Identifier: MIT
// The connection of one VM: requests that are on their way at the same time, and their replies.
//
// A thread of its own receives. Any number of threads send; each waits for the replies to its own requests,
// so that a large read costs about one round trip. What makes the stream meaningless (a reply to no request,
// a damaged message, a reply that is late) ends the connection, as the protocol demands: the kernel then
// resumes the vCPUs.
#pragma once

#include "core/error.h"
#include "drivers/kvmi/wire/message.h"
#include "util/mutex.h"
#include "util/timed_lock.h"
#include "util/unique_fd.h"

#include <array>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <thread>
#include <vector>

namespace vmemfs::kvmi {

/// A command, and what came back.
struct Request {
  std::uint16_t id = 0;
  std::span<const std::byte> head{};  ///< of the payload
  std::span<const std::byte> bytes{}; ///< its rest, may be empty
  std::span<std::byte> into{};        ///< the reply's data go here, as far as they fit

  std::int32_t status = 0; ///< of the reply: 0 or a negative errno
  std::size_t size = 0;    ///< of the reply's data, which may be more than fit
  bool complete = false;   ///< there was a reply
};

/// Thread-safe.
class Connection {
public:
  using Clock = std::chrono::steady_clock;

  /// Requests that may be on their way at the same time, all callers together. A memory page each, so that 1
  /// MiB at any address is one round trip; small enough for the socket's buffer.
  static constexpr std::size_t kMaxInFlight = 512;
  /// Bytes of requests that exchange() sends at once.
  static constexpr std::size_t kMaxSent = std::size_t{64} << 10U;

  /// Both are called on the receiving thread, without a lock; neither may wait for a reply.
  struct Callbacks {
    std::function<bool(std::uint16_t id)> is_event;
    std::function<Result<void>(const Message&)> event; ///< a failure ends the connection
    std::function<void()> ended;                       ///< once, the last call
  };

  /// Starts the receiving thread. `timeout`: how long a reply may take. Throws std::system_error.
  Connection(UniqueFd socket, std::chrono::milliseconds timeout, Callbacks callbacks);
  ~Connection(); ///< ends it. Not on the receiving thread.
  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;

  /// Sends all requests and waits for all replies; each has its own status afterwards. Fails as a whole if
  /// the connection ends, if a reply is late (timed_out, which ends it), or if the WorkLimit of the thread is
  /// over (timed_out); requests that are complete then have their results.
  [[nodiscard]] Result<void> exchange(std::span<Request> requests);

  /// Sends a message that has no reply.
  [[nodiscard]] Result<void> send_alone(std::span<const std::byte> message);

  /// Ends the connection: all waits fail, and the kernel resumes the vCPUs. The first reason counts.
  void close(const std::string& reason);

  [[nodiscard]] bool ended() const { return ended_; }
  [[nodiscard]] std::string reason() const EXCLUDES(mutex_);
  /// Whether any message came from the VM.
  [[nodiscard]] bool answered() const { return answered_; }

private:
  /// The requests of one exchange that have no reply yet; on the stack of its thread.
  struct Batch {
    std::size_t missing;
    Condition done;
  };
  /// A request on its way. A sequence number says which slot it has.
  struct Slot {
    std::uint32_t seq = 0;
    std::uint16_t id = 0;
    bool taken = false;
    Request* request = nullptr; ///< null: nobody waits for the reply any more
    Batch* batch = nullptr;
    Clock::time_point due{}; ///< when the reply is late
  };

  [[nodiscard]] Result<void> exchange_part(std::span<Request> requests, Clock::time_point deadline);
  [[nodiscard]] tl::unexpected<Error> no_turn() EXCLUDES(mutex_);
  [[nodiscard]] Result<void> take_slots(std::span<Request> requests, std::span<std::uint32_t> seqs,
                                        Batch& batch, Clock::time_point deadline)
      EXCLUDES(mutex_, turn_lock_);
  [[nodiscard]] Result<void> send(std::span<const Request> requests, std::span<const std::uint32_t> seqs,
                                  Clock::time_point deadline);
  [[nodiscard]] Result<void> send_bytes(std::span<const std::byte> bytes, Clock::time_point deadline)
      REQUIRES(send_lock_);
  [[nodiscard]] Result<void> wait(Batch& batch, std::span<const std::uint32_t> seqs,
                                  Clock::time_point deadline) EXCLUDES(mutex_);
  void abandon(std::span<const std::uint32_t> seqs) REQUIRES(mutex_);
  [[nodiscard]] tl::unexpected<Error> late() EXCLUDES(mutex_);
  [[nodiscard]] tl::unexpected<Error> ended_error() const REQUIRES(mutex_);

  void receive();
  [[nodiscard]] Result<void> take(const Message& message) EXCLUDES(mutex_);
  void fail_all() EXCLUDES(mutex_);

  const UniqueFd socket_;
  const std::chrono::milliseconds timeout_;
  const Callbacks callbacks_;
  std::atomic<bool> ended_{false};
  std::atomic<bool> answered_{false};

  TimedLock turn_lock_; ///< held by the one thread that waits for slots, so that a large read gets them too
  TimedLock send_lock_; ///< one message at a time; not held while a reply is awaited
  std::vector<std::byte> send_buffer_ GUARDED_BY(send_lock_);

  mutable Mutex mutex_;
  Condition freed_;
  std::array<Slot, kMaxInFlight> slots_ GUARDED_BY(mutex_);
  std::vector<std::uint16_t> free_ GUARDED_BY(mutex_); ///< indexes of slots that are not taken
  std::uint32_t turn_ GUARDED_BY(mutex_) = 0;          ///< upper part of the next sequence number
  std::string reason_ GUARDED_BY(mutex_);

  std::jthread thread_; ///< last: uses the rest
};

} // namespace vmemfs::kvmi
