// SPDX-License-Identifier: MIT
// Reads of many stretches of another process's memory with as few process_vm_readv calls as possible.
#pragma once

#include "host/hva.h"

#include <array>
#include <cstddef>
#include <span>
#include <sys/types.h>
#include <sys/uio.h>

namespace vmemfs {

/// Gathers stretches on the stack; no allocation. For one thread.
class PrivateBatch {
public:
  /// Receives the stretches that could not be read in full.
  class Sink {
  public:
    Sink() = default;
    Sink(const Sink&) = delete;
    Sink& operator=(const Sink&) = delete;

    /// `tag` as given to add(); `unread` is the first byte of its buffer that was not read.
    virtual void stretch_failed(std::size_t tag, const std::byte* unread, int os_errno) = 0;

  protected:
    ~Sink() = default;
  };

  PrivateBatch(pid_t pid, Sink& sink) : pid_{pid}, sink_{sink} {}
  PrivateBatch(const PrivateBatch&) = delete;
  PrivateBatch& operator=(const PrivateBatch&) = delete;
  ~PrivateBatch() = default;

  /// Queues a read; flushes when the queue is full.
  void add(std::size_t tag, Hva hva, std::span<std::byte> buffer);

  /// Reads all queued stretches. Failing ones are reported to the sink, the others are still read.
  void flush();

private:
  /// Far below IOV_MAX; larger batches gain nothing (about 16 scattered pages a call are enough).
  static constexpr std::size_t kCapacity = 64;

  void advance(std::size_t bytes);
  void fail_first(int os_errno);

  pid_t pid_;
  Sink& sink_;
  std::size_t first_ = 0; ///< first stretch not read in full
  std::size_t count_ = 0;
  std::array<iovec, kCapacity> local_;
  std::array<iovec, kCapacity> remote_;
  std::array<std::size_t, kCapacity> tags_;
};

} // namespace vmemfs
