#include "host/paired_read.h"

#include "util/signals.h"

#include <algorithm>
#include <sys/uio.h>

namespace vmemfs {
namespace {

/// Small enough for both to end at about the same time, large enough to be worth a system call.
constexpr std::size_t kChunk = std::size_t{64} << 10U;

} // namespace

PairedReader& PairedReader::shared() {
  static PairedReader reader;
  return reader;
}

PairedReader::PairedReader() {
  if (std::thread::hardware_concurrency() > 1) {
    const SignalsBlocked blocked;
    thread_ = std::jthread{[this](const std::stop_token& stop) { run(stop); }};
  }
}

PairedReader::~PairedReader() {
  if (thread_.joinable()) {
    const std::scoped_lock lock{turn_};
    thread_.request_stop();
    next_ = buffer_.size(); // there is nothing to read
    hand_ = Hand::asked;
    hand_.notify_all();
    thread_.join();
  }
}

bool PairedReader::read(pid_t pid, Hva hva, std::span<std::byte> buffer) {
  const std::unique_lock turn{turn_, std::try_to_lock};
  if (!turn.owns_lock() || !thread_.joinable()) {
    return false;
  }
  pid_ = pid;
  hva_ = hva;
  buffer_ = buffer;
  next_.store(0, std::memory_order_relaxed);
  failed_.store(false, std::memory_order_relaxed);
  hand_.store(Hand::asked, std::memory_order_release);
  hand_.notify_all();
  copy_chunks();
  // If it has not come by now it is too late; if it has, it may still be in its last chunk.
  Hand state = Hand::asked;
  if (!hand_.compare_exchange_strong(state, Hand::away)) {
    for (; state == Hand::here; state = hand_.load()) {
      hand_.wait(Hand::here);
    }
  }
  return !failed_.load(std::memory_order_relaxed);
}

void PairedReader::run(const std::stop_token& stop) {
  while (!stop.stop_requested()) {
    hand_.wait(Hand::away);
    Hand state = Hand::asked;
    if (hand_.compare_exchange_strong(state, Hand::here)) {
      copy_chunks();
      hand_.store(Hand::away);
      hand_.notify_all();
    }
  }
}

/// What the other has not taken yet, a chunk at a time.
void PairedReader::copy_chunks() {
  const std::span<std::byte> buffer = buffer_;
  for (;;) {
    const std::size_t at = next_.fetch_add(kChunk, std::memory_order_relaxed);
    if (at >= buffer.size() || failed_.load(std::memory_order_relaxed)) {
      return;
    }
    const std::size_t size = std::min(kChunk, buffer.size() - at);
    const iovec local{buffer.data() + at, size};
    // An address in the other process; never dereferenced in ours.
    const iovec remote{reinterpret_cast<void*>(hva_ + at), size}; // NOLINT(performance-no-int-to-ptr)
    if (::process_vm_readv(pid_, &local, 1, &remote, 1, 0) != static_cast<ssize_t>(size)) {
      failed_.store(true, std::memory_order_relaxed);
    }
  }
}

} // namespace vmemfs
