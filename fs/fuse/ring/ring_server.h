// SPDX-License-Identifier: MIT
// Requests of the kernel by io_uring instead of /dev/fuse: FUSE over io_uring, Linux 6.14.
#pragma once

#include "core/error.h"
#include "fs/fuse/ring/ring.h"
#include "fs/fuse/ring/ring_entry.h"
#include "util/mutex.h"
#include "util/worker.h"

#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <list>
#include <memory>
#include <sched.h>
#include <span>
#include <sys/uio.h>
#include <thread>
#include <vector>

namespace vmemfs {

/// A queue for each CPU, whose requests are served by threads on that CPU: the caller of a read need not wake
/// another one, which is what most of a small read's time goes to otherwise. Answering a request and waiting
/// for the next is one system call.
///
/// A queue has kFirst entries and threads at first, and one more whenever all are at work, up to kMaxSpare in
/// all. But the kernel gives a new one only requests that come later: those that wait already are given to
/// those at work, when they are done. So a VM that does not answer may stop others, which VmRequests sees to
/// by /dev/fuse. Interrupts, forgets and notifications go by /dev/fuse. Thread-safe.
class RingServer {
public:
  static constexpr std::size_t kFirst = 4;
  /// Threads beyond the first ones of each queue.
  static constexpr std::size_t kMaxSpare = 256;

  /// Creates the rings, because the filter of system calls forbids it later. unsupported: the kernel has no
  /// FUSE over io_uring, or its settings do not allow it.
  [[nodiscard]] static Result<std::unique_ptr<RingServer>> create();
  /// Whether the kernel has it, and the parameter enable_uring of its module fuse allows it.
  [[nodiscard]] static bool is_enabled();
  ~RingServer(); ///< all threads must have ended: see stop()
  RingServer(const RingServer&) = delete;
  RingServer& operator=(const RingServer&) = delete;

  struct Session {
    int device = -1;                                   ///< /dev/fuse
    std::function<void(std::span<std::byte>)> serve{}; ///< a request as /dev/fuse would give it
    std::function<void(const Error&)> failed{};        ///< the kernel waits for queues that it does not get
  };
  /// Before the kernel's first request.
  void set_session(Session session) { session_ = std::move(session); }

  /// After the kernel has got an answer to its first request that agrees to rings: it waits for all queues.
  /// `payload_bytes`: the largest that it sends or takes.
  void start(std::size_t payload_bytes) EXCLUDES(mutex_);

  /// Whether the kernel has agreed.
  [[nodiscard]] bool is_serving() const { return payload_bytes_ != 0; }

  /// Takes an answer, a header and its data. False: it is not that of a request which came by a ring.
  [[nodiscard]] bool answer(std::span<const iovec> answer) EXCLUDES(mutex_);

  /// The calling thread goes on to other work than the request that it took: if it has answered that, the
  /// answer is sent by another thread now. Otherwise it is sent when the thread is done.
  void send_answer_now() EXCLUDES(mutex_);

  /// Takes no more requests. False: threads are still at work after `limit`.
  [[nodiscard]] bool stop(std::chrono::milliseconds limit) EXCLUDES(mutex_);

private:
  struct Queue {
    std::uint16_t cpu = 0;
    std::atomic<int> free_entries{0};
  };
  struct Thread {
    std::thread thread{};
    bool ended = false; ///< it only returns any more
  };
  /// What a thread begins with.
  struct Ownership {
    RingEntry* entry;
    RingEntry::Owner owner;
    RingOperation first;
  };

  explicit RingServer(std::vector<Ring> rings);
  void add_entry(Queue& queue) EXCLUDES(mutex_);
  [[nodiscard]] bool start_thread(Queue& queue, Ownership ownership) REQUIRES(mutex_);
  void run(Queue& queue, Ownership ownership, Ring& ring);
  [[nodiscard]] bool serve(const Ownership& ownership, std::vector<std::byte>& request);
  [[nodiscard]] RingEntry* find(std::uint64_t unique) EXCLUDES(mutex_);
  void find_new_owner(RingEntry& entry) EXCLUDES(mutex_);

  Session session_;
  cpu_set_t cpus_{};                          ///< that the process may use
  std::atomic<std::size_t> payload_bytes_{0}; ///< 0: not started
  std::atomic<bool> stopping_{false};
  std::vector<Queue> queues_;
  Mutex mutex_;
  Condition ended_;
  std::vector<Ring> rings_ GUARDED_BY(mutex_); ///< not in use
  std::vector<std::unique_ptr<RingEntry>> entries_ GUARDED_BY(mutex_);
  std::list<Thread> threads_ GUARDED_BY(mutex_);
  Worker owners_; ///< finds new owners of entries; ends first
};

} // namespace vmemfs
