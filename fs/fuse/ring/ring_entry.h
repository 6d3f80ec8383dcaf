// SPDX-License-Identifier: MIT
// The place of one request in a queue of the kernel, and of its answer.
#pragma once

#include "core/error.h"
#include "fs/fuse/ring/ring_format.h"
#include "util/mutex.h"

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <sys/uio.h>
#include <vector>

namespace vmemfs {

/// The thread that takes a request owns the entry. Usually it answers, and takes the next one. If another
/// thread answers while the owner is still at work on the request, as when the caller has given up, the entry
/// gets a new owner, and the former one must not touch it any more: so a request is copied out of it first.
class RingEntry {
public:
  /// A payload of that size, of which memory is taken as it is used. no_memory.
  [[nodiscard]] static Result<std::unique_ptr<RingEntry>> create(std::uint16_t queue,
                                                                 std::size_t payload_bytes);
  ~RingEntry();
  RingEntry(const RingEntry&) = delete;
  RingEntry& operator=(const RingEntry&) = delete;

  [[nodiscard]] std::uint16_t queue() const { return queue_; }
  [[nodiscard]] std::uint64_t commit_id() const { return header_->commit_id; }
  /// Header and payload, for the kernel.
  [[nodiscard]] const std::array<iovec, 2>& buffers() const { return buffers_; }

  /// The owner: the entry has a request, which is written to `request` as /dev/fuse would give it. False: the
  /// kernel's sizes do not agree.
  [[nodiscard]] bool take_request(std::vector<std::byte>& request);
  /// Of the request that was taken last; 0 after its answer. On any thread.
  [[nodiscard]] std::uint64_t unique() const { return unique_; }

  /// Puts the answer in: a header and its data, of the request that was taken last. Once for each.
  void put_answer(std::span<const iovec> answer);

  /// Which of the entry's owners, one after the other.
  using Owner = std::uint64_t;
  static constexpr Owner kFirstOwner = 1;

  /// Another thread than the owner has put the answer in. True: the owner waits for it, and goes on.
  [[nodiscard]] bool note_answered_by_other() EXCLUDES(mutex_);
  /// The owner is done with the request, and waits for the answer of another thread. False: the entry has a
  /// new owner.
  [[nodiscard]] bool wait_for_other(Owner owner) EXCLUDES(mutex_);
  /// The answer of another thread is there, and the owner still at work: makes a new one. nullopt: it is not.
  [[nodiscard]] std::optional<Owner> change_owner() EXCLUDES(mutex_);
  /// The owner has put the answer in and has more to do: makes a new one.
  [[nodiscard]] Owner hand_over() EXCLUDES(mutex_);
  /// There is no thread for that one: the owner stays.
  void take_back() EXCLUDES(mutex_);

private:
  RingEntry(std::uint16_t queue, std::byte* memory, std::size_t bytes);

  const std::uint16_t queue_;
  std::byte* const memory_;
  const std::size_t bytes_; ///< of all memory
  RingHeader* const header_;
  const std::array<iovec, 2> buffers_;
  std::atomic<std::uint64_t> unique_{0};
  Mutex mutex_; ///< leaf
  Condition changed_;
  Owner owner_ GUARDED_BY(mutex_) = kFirstOwner;
  bool answered_ GUARDED_BY(mutex_) = false; ///< by another thread, and not yet sent
  bool waiting_ GUARDED_BY(mutex_) = false;  ///< the owner, for that
};

} // namespace vmemfs
