// SPDX-License-Identifier: MIT
#include "fs/fuse/ring/ring_server.h"

#include "util/log.h"
#include "util/signals.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>
#include <cstring>
#include <fmt/format.h>
#include <fstream>
#include <linux/fuse.h>
#include <pthread.h>
#include <sched.h>
#include <sys/sysinfo.h>
#include <system_error>
#include <utility>

namespace vmemfs {
namespace {

constexpr const char* kParameter = "/sys/module/fuse/parameters/enable_uring";
/// Ends a thread's wait for a request. Session has its handler, which does nothing.
constexpr int kWakeUp = SIGURG;
constexpr std::chrono::milliseconds kWakeUpInterval{10};
/// Time for the owner of an entry to notice that another thread has answered.
constexpr std::chrono::milliseconds kOwnerReturns{5};
/// Each has a thread at least. More CPUs than that are served by /dev/fuse.
constexpr int kMaxQueues = 256;

/// The request that a thread has taken.
struct Work {
  RingEntry* entry;
  std::uint64_t unique = 0;
  bool answered = false; ///< by this thread
  bool handed_over = false;
};

// NOLINTNEXTLINE(cppcoreguidelines-avoid-non-const-global-variables): this thread's
thread_local Work* at_work = nullptr;

void may_use(const cpu_set_t& cpus) {
  // Fails for a CPU that is offline, or that this process may not use: then no reader is there either.
  static_cast<void>(::pthread_setaffinity_np(::pthread_self(), sizeof(cpus), &cpus));
}

void stay_on_cpu(int cpu) {
  cpu_set_t one;
  CPU_ZERO(&one);
  CPU_SET(static_cast<unsigned>(cpu), &one);
  may_use(one);
}

/// Whether a request may start threads or processes, other than those of a Worker: they would inherit that
/// this thread stays on one CPU.
bool may_start_threads(std::span<const std::byte> request) {
  fuse_in_header header{};
  std::memcpy(&header, request.data(), sizeof(header));
  constexpr std::array<std::uint32_t, 6> kOthers{FUSE_READ,  FUSE_GETATTR, FUSE_LOOKUP,
                                                 FUSE_LSEEK, FUSE_RELEASE, FUSE_POLL};
  return std::ranges::find(kOthers, header.opcode) == kOthers.end();
}

bool is_to_be_repeated(int result) { return result == -EAGAIN || result == -EINTR; }

} // namespace

bool RingServer::is_enabled() { return std::ifstream{kParameter}.get() == 'Y'; }

Result<std::unique_ptr<RingServer>> RingServer::create() {
  if (!is_enabled()) {
    return fail(
        ErrorKind::unsupported, "mount",
        fmt::format("FUSE over io_uring is not enabled; it takes Linux 6.14, and as root: echo 1 > {}",
                    kParameter));
  }
  const int cpus = ::get_nprocs_conf(); // all that may ever be online, as the kernel counts them
  if (cpus > kMaxQueues) {
    return fail(ErrorKind::unsupported, "mount", fmt::format("more than {} CPUs", kMaxQueues));
  }
  std::vector<Ring> rings;
  for (std::size_t count = static_cast<std::size_t>(cpus) * kFirst + kMaxSpare; rings.size() < count;) {
    auto ring = Ring::create();
    if (!ring) {
      return tl::unexpected{ring.error()};
    }
    rings.push_back(std::move(*ring));
  }
  return std::unique_ptr<RingServer>{new RingServer{std::move(rings)}};
}

RingServer::RingServer(std::vector<Ring> rings)
    : queues_((rings.size() - kMaxSpare) / kFirst), rings_{std::move(rings)} {
  ::pthread_getaffinity_np(::pthread_self(), sizeof(cpus_), &cpus_);
  std::uint16_t cpu = 0;
  for (Queue& queue : queues_) {
    queue.cpu = cpu++;
  }
}

RingServer::~RingServer() { owners_.stop(); }

void RingServer::start(std::size_t payload_bytes) {
  payload_bytes_ = payload_bytes;
  for (Queue& queue : queues_) {
    for (std::size_t count = 0; count < kFirst; ++count) {
      add_entry(queue);
    }
  }
}

/// One more thread for a queue, if it can be had.
void RingServer::add_entry(Queue& queue) {
  const MutexLock lock{mutex_};
  if (stopping_ || rings_.empty()) {
    return;
  }
  auto entry = RingEntry::create(queue.cpu, payload_bytes_);
  if (!entry) {
    log::warning("no more threads for requests: {}", entry.error().message());
    return;
  }
  entries_.push_back(std::move(*entry));
  if (!start_thread(queue, {entries_.back().get(), RingEntry::kFirstOwner, RingOperation::add_entry})) {
    entries_.pop_back();
  }
}

/// False: there can be no more threads.
bool RingServer::start_thread(Queue& queue, Ownership ownership) {
  const SignalsBlocked blocked; // but for kWakeUp, which the thread allows itself
  auto ring = std::make_shared<Ring>(std::move(rings_.back()));
  rings_.pop_back();
  Thread& thread = threads_.emplace_back();
  try {
    thread.thread = std::thread{[this, &queue, ownership, ring, &thread] {
      run(queue, ownership, *ring);
      const MutexLock lock{mutex_};
      rings_.push_back(std::move(*ring));
      thread.ended = true;
      ended_.notify_all();
    }};
    return true;
  } catch (const std::system_error& error) {
    log::warning("no more threads for requests: {}", error.what());
    threads_.pop_back();
    rings_.push_back(std::move(*ring));
    return false;
  }
}

void RingServer::run(Queue& queue, Ownership ownership, Ring& ring) {
  sigset_t wake_up;
  sigemptyset(&wake_up);
  sigaddset(&wake_up, kWakeUp);
  pthread_sigmask(SIG_UNBLOCK, &wake_up, nullptr);
  stay_on_cpu(queue.cpu);
  std::vector<std::byte> request;
  RingEntry& entry = *ownership.entry;
  for (RingOperation operation = ownership.first;; operation = RingOperation::answer_and_fetch) {
    const bool adds = operation == RingOperation::add_entry;
    ++queue.free_entries;
    int result = 0;
    do {
      result = ring.run({session_.device, operation, queue.cpu, adds ? 0 : entry.commit_id(),
                         adds ? &entry.buffers() : nullptr},
                        stopping_);
    } while (is_to_be_repeated(result) && !stopping_);
    const int left = --queue.free_entries;
    if (result != 0) { // ENOTCONN: there is no mount any more
      if (adds && result != -ECANCELED && result != -ENOTCONN) {
        session_.failed(fail_errno(-result, "mount", "cannot serve the mount by io_uring").value());
      }
      return;
    }
    if (left <= 0) {
      add_entry(queue);
    }
    if (!serve(ownership, request)) {
      return;
    }
  }
}

/// False: the entry is another thread's.
bool RingServer::serve(const Ownership& ownership, std::vector<std::byte>& request) {
  Work work{ownership.entry};
  const bool valid = work.entry->take_request(request);
  work.unique = work.entry->unique();
  if (!valid) {
    fuse_out_header refused{sizeof(refused), -EIO, work.unique};
    const iovec answer{&refused, sizeof(refused)};
    work.entry->put_answer({&answer, 1});
    return true;
  }
  const bool leaves_cpu = may_start_threads(request);
  if (leaves_cpu) {
    may_use(cpus_);
  }
  at_work = &work;
  session_.serve(request);
  at_work = nullptr;
  if (leaves_cpu) {
    stay_on_cpu(work.entry->queue());
  }
  return work.answered ? !work.handed_over : work.entry->wait_for_other(ownership.owner);
}

bool RingServer::answer(std::span<const iovec> answer) {
  if (payload_bytes_.load(std::memory_order_relaxed) == 0 || answer.empty() ||
      answer.front().iov_len != sizeof(fuse_out_header)) {
    return false;
  }
  fuse_out_header header{};
  std::memcpy(&header, answer.front().iov_base, sizeof(header));
  if (header.unique == 0) { // a notification
    return false;
  }
  if (at_work != nullptr && at_work->unique == header.unique) {
    at_work->entry->put_answer(answer);
    at_work->answered = true;
    return true;
  }
  RingEntry* const entry = find(header.unique);
  if (entry == nullptr) {
    return false;
  }
  entry->put_answer(answer);
  if (!entry->note_answered_by_other()) {
    owners_.post_after(kOwnerReturns, [this, entry] { find_new_owner(*entry); });
  }
  return true;
}

void RingServer::send_answer_now() {
  if (at_work == nullptr || !at_work->answered || at_work->handed_over) {
    return;
  }
  RingEntry& entry = *at_work->entry;
  const MutexLock lock{mutex_};
  if (rings_.empty()) {
    return;
  }
  const Ownership next{&entry, entry.hand_over(), RingOperation::answer_and_fetch};
  at_work->handed_over = start_thread(queues_[entry.queue()], next);
  if (!at_work->handed_over) {
    entry.take_back();
  }
}

RingEntry* RingServer::find(std::uint64_t unique) {
  const MutexLock lock{mutex_};
  for (const auto& entry : entries_) {
    if (entry->unique() == unique) {
      return entry.get();
    }
  }
  return nullptr;
}

/// The owner may still hang in the request.
void RingServer::find_new_owner(RingEntry& entry) {
  const MutexLock lock{mutex_};
  bool later = rings_.empty();
  if (const auto owner = later ? std::nullopt : entry.change_owner()) {
    later = !start_thread(queues_[entry.queue()], {&entry, *owner, RingOperation::answer_and_fetch});
    if (later) {
      entry.take_back();
      later = !entry.note_answered_by_other();
    }
  }
  if (later) {
    owners_.post_after(kOwnerReturns, [this, &entry] { find_new_owner(entry); });
  }
}

bool RingServer::stop(std::chrono::milliseconds limit) {
  const auto deadline = std::chrono::steady_clock::now() + limit;
  stopping_ = true;
  const MutexLock lock{mutex_};
  for (;;) {
    threads_.remove_if([](Thread& thread) {
      if (thread.ended) {
        thread.thread.join();
      }
      return thread.ended;
    });
    if (threads_.empty() || std::chrono::steady_clock::now() > deadline) {
      return threads_.empty();
    }
    for (Thread& thread : threads_) {
      ::pthread_kill(thread.thread.native_handle(), kWakeUp); // again, because it may not wait yet
    }
    ended_.wait_for(mutex_, kWakeUpInterval, [] { return false; });
  }
}

} // namespace vmemfs
