// SPDX-License-Identifier: MIT
#include "fs/fuse/request_loop.h"

#include "util/signals.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdlib>
#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>

namespace vmemfs {
namespace {

/// Time for which the leader waits for a request without sleeping. A reader that has its answer asks again
/// within a few microseconds, unless it has something else to do or no CPU of its own.
constexpr std::chrono::microseconds kSpin{20};
/// After a wait in vain, that many requests are awaited asleep; after each further one twice as many.
constexpr unsigned kMinSkippedSpins = 8;
constexpr unsigned kMaxSkippedSpins = 1024;

/// How long large requests are handed to a thread each after two were there at once.
constexpr std::chrono::milliseconds kParallel{20};

/// A request that takes longer than this, and up to twice as long, gets a thread of its own.
constexpr std::chrono::microseconds kQuick{500};
/// The watchdog sleeps after that number of polls without a request.
constexpr int kMaxIdlePolls = 40;

/// libfuse allocates it at the first use, and this thread keeps it.
struct RequestBuffer {
  RequestBuffer() = default;
  RequestBuffer(const RequestBuffer&) = delete;
  RequestBuffer& operator=(const RequestBuffer&) = delete;
  ~RequestBuffer() { std::free(buf.mem); }
  fuse_buf buf{};
};

thread_local RequestLoop* loop_of_this_thread = nullptr;

void relax() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#endif
}

} // namespace

RequestLoop::RequestLoop(fuse_session* session, unsigned max_threads, CostOf cost_of)
    : session_{session}, cost_of_{cost_of}, can_spin_{std::thread::hardware_concurrency() > 1},
      stop_event_{::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)},
      ended_event_{::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)}, threads_{1, max_threads} {
  const SignalsBlocked blocked;
  watchdog_ = std::jthread{[this](const std::stop_token& stop) { watch(stop); }};
}

int RequestLoop::run() {
  if (!stop_event_ || !ended_event_) {
    return -EMFILE;
  }
  hand_on();
  pollfd ended{ended_event_.get(), POLLIN, 0};
  while (::poll(&ended, 1, -1) < 0) { // EINTR
  }
  threads_.stop();
  return error_;
}

void RequestLoop::stop() {
  fuse_session_exit(session_);
  static_cast<void>(::eventfd_write(stop_event_.get(), 1));
}

void RequestLoop::hand_on() {
  threads_.post([this] { lead(); });
}

void RequestLoop::end(int error) {
  error_ = error;
  static_cast<void>(::eventfd_write(ended_event_.get(), 1));
}

void RequestLoop::lead() {
  loop_of_this_thread = this;
  while (take_and_answer()) {
  }
}

/// False: this thread does not have the lead any more.
bool RequestLoop::take_and_answer() {
  thread_local RequestBuffer buffer;
  const int got = fuse_session_receive_buf(session_, &buffer.buf);
  if (fuse_session_exited(session_) != 0) {
    end(0);
    return false;
  }
  if (got == -EINTR) {
    return true;
  }
  if (got <= 0) {
    fuse_session_exit(session_);
    end(got);
    return false;
  }
  const Cost cost = cost_of_({static_cast<const std::byte*>(buffer.buf.mem), buffer.buf.size});
  if (cost == Cost::waits || (cost == Cost::copy && Clock::now() < parallel_until_)) {
    hand_on();
    fuse_session_process_buf(session_, &buffer.buf);
    return false;
  }
  return answer_as_leader(buffer.buf, cost);
}

bool RequestLoop::answer_as_leader(fuse_buf& request, Cost cost) {
  std::uint64_t turn = turn_.load(std::memory_order_relaxed) + 1;
  turn_.store(turn);
  if (!watching_.load()) {
    wake_watchdog();
  }
  fuse_session_process_buf(session_, &request);
  if (!turn_.compare_exchange_strong(turn, turn + 1)) {
    return false;
  }
  if (cost == Cost::copy && is_more_waiting()) {
    parallel_until_ = Clock::now() + kParallel;
  }
  return true;
}

bool RequestLoop::is_more_waiting() const {
  pollfd device{fuse_session_fd(session_), POLLIN, 0};
  return ::poll(&device, 1, 0) == 1;
}

// ---- reading the device

ssize_t RequestLoop::read_device(int fd, void* buffer, std::size_t size) {
  return loop_of_this_thread->receive(fd, buffer, size);
}

ssize_t RequestLoop::receive(int fd, void* buffer, std::size_t size) {
  for (;;) {
    const ssize_t got = spin(fd, buffer, size);
    if (got >= 0 || errno != EAGAIN) {
      return got;
    }
    if (!sleep_until_readable(fd)) {
      errno = EINTR;
      return -1;
    }
  }
}

ssize_t RequestLoop::spin(int fd, void* buffer, std::size_t size) {
  constexpr int kPausesPerTry = 8;
  ssize_t got = ::read(fd, buffer, size);
  if (got >= 0 || errno != EAGAIN || !can_spin_) {
    return got;
  }
  if (skipped_spins_ > 0) {
    --skipped_spins_;
    return got;
  }
  const auto end = Clock::now() + kSpin;
  do {
    for (int i = 0; i < kPausesPerTry; ++i) {
      relax();
    }
    got = ::read(fd, buffer, size);
    if (got >= 0 || errno != EAGAIN) {
      spins_to_skip_ = kMinSkippedSpins;
      return got;
    }
  } while (Clock::now() < end);
  skipped_spins_ = spins_to_skip_;
  spins_to_skip_ = std::clamp(2 * spins_to_skip_, kMinSkippedSpins, kMaxSkippedSpins);
  errno = EAGAIN;
  return got;
}

/// False: the loop was stopped.
bool RequestLoop::sleep_until_readable(int fd) {
  std::array<pollfd, 2> entries{{{fd, POLLIN, 0}, {stop_event_.get(), POLLIN, 0}}};
  const int ready = ::poll(entries.data(), entries.size(), -1);
  return ready <= 0 || entries[1].revents == 0;
}

// ---- the watchdog

void RequestLoop::wake_watchdog() {
  {
    const MutexLock lock{watch_mutex_};
    watching_ = true;
  }
  watch_changed_.notify_one();
}

void RequestLoop::watch(const std::stop_token& stop) {
  while (!stop.stop_requested()) {
    {
      const MutexLock lock{watch_mutex_};
      watch_changed_.wait(watch_mutex_, stop, [this] { return watching_.load(); });
    }
    watch_requests(stop);
  }
}

/// Returns when there was no request for a while. The leader first raises its turn and then looks whether
/// it is watched; here it is the other way round.
void RequestLoop::watch_requests(const std::stop_token& stop) {
  int idle_polls = 0;
  std::uint64_t last = turn_;
  while (!stop.stop_requested()) {
    std::this_thread::sleep_for(kQuick);
    std::uint64_t turn = turn_;
    const bool busy = turn % 2 != 0;
    if (busy && turn == last && turn_.compare_exchange_strong(turn, turn + 1)) {
      hand_on();
    }
    idle_polls = !busy && turn == last ? idle_polls + 1 : 0;
    last = turn;
    if (idle_polls > kMaxIdlePolls) {
      watching_ = false;
      if (turn_ == last) {
        return;
      }
      watching_ = true;
      idle_polls = 0;
    }
  }
}

} // namespace vmemfs
