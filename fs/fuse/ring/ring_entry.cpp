// SPDX-License-Identifier: MIT
#include "fs/fuse/ring/ring_entry.h"

#include <cerrno>
#include <cstring>
#include <linux/fuse.h>
#include <new>
#include <sys/mman.h>

namespace vmemfs {
namespace {

/// The payload begins on a page.
constexpr std::size_t kHeaderBytes = 4096;
static_assert(sizeof(RingHeader) <= kHeaderBytes);

} // namespace

Result<std::unique_ptr<RingEntry>> RingEntry::create(std::uint16_t queue, std::size_t payload_bytes) {
  const std::size_t bytes = kHeaderBytes + payload_bytes;
  void* const memory =
      ::mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (memory == MAP_FAILED) {
    return fail_errno(errno, "mount", "cannot allocate memory for requests");
  }
  ::madvise(memory, bytes, MADV_DONTDUMP); // guests' memory passes through it
  return std::unique_ptr<RingEntry>{new RingEntry{queue, static_cast<std::byte*>(memory), bytes}};
}

RingEntry::RingEntry(std::uint16_t queue, std::byte* memory, std::size_t bytes)
    : queue_{queue}, memory_{memory}, bytes_{bytes}, header_{new(memory) RingHeader{}},
      buffers_{{{header_, sizeof(RingHeader)}, {memory + kHeaderBytes, bytes - kHeaderBytes}}} {}

RingEntry::~RingEntry() { ::munmap(memory_, bytes_); }

// /dev/fuse gives the header, the operation's own one, and the rest, one after the other.
bool RingEntry::take_request(std::vector<std::byte>& request) {
  fuse_in_header in{};
  std::memcpy(&in, header_->in_out.data(), sizeof(in));
  unique_.store(in.unique, std::memory_order_release);
  const std::size_t payload = header_->payload_bytes;
  if (payload > buffers_[1].iov_len || in.len < sizeof(in) + payload ||
      in.len - sizeof(in) - payload > header_->operation.size()) {
    return false;
  }
  const std::size_t operation = in.len - sizeof(in) - payload;
  request.resize(in.len);
  std::memcpy(request.data(), &in, sizeof(in));
  std::memcpy(request.data() + sizeof(in), header_->operation.data(), operation);
  if (payload > 0) {
    std::memcpy(request.data() + sizeof(in) + operation, buffers_[1].iov_base, payload);
  }
  return true;
}

void RingEntry::put_answer(std::span<const iovec> answer) {
  fuse_out_header out{};
  std::memcpy(&out, answer.front().iov_base, sizeof(out));
  std::size_t payload = 0;
  for (const iovec& piece : answer.subspan(1)) {
    if (piece.iov_len > buffers_[1].iov_len - payload) { // more than was asked for
      out.error = -EIO;
      payload = 0;
      break;
    }
    std::memcpy(static_cast<std::byte*>(buffers_[1].iov_base) + payload, piece.iov_base, piece.iov_len);
    payload += piece.iov_len;
  }
  std::memcpy(header_->in_out.data(), &out, sizeof(out));
  header_->payload_bytes = static_cast<std::uint32_t>(payload);
  unique_.store(0, std::memory_order_release);
}

bool RingEntry::note_answered_by_other() {
  const MutexLock lock{mutex_};
  answered_ = true;
  changed_.notify_all();
  return waiting_;
}

bool RingEntry::wait_for_other(Owner owner) {
  const MutexLock lock{mutex_};
  if (owner != owner_) {
    return false;
  }
  waiting_ = true;
  changed_.wait(mutex_, [this]() REQUIRES(mutex_) { return answered_; });
  waiting_ = false;
  answered_ = false;
  return true;
}

std::optional<RingEntry::Owner> RingEntry::change_owner() {
  const MutexLock lock{mutex_};
  if (!answered_) {
    return std::nullopt;
  }
  answered_ = false;
  return ++owner_;
}

RingEntry::Owner RingEntry::hand_over() {
  const MutexLock lock{mutex_};
  return ++owner_;
}

void RingEntry::take_back() {
  const MutexLock lock{mutex_};
  --owner_;
}

} // namespace vmemfs
