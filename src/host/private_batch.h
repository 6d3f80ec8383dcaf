// SPDX-License-Identifier: MIT
// Reads of many stretches of another process's memory with few system calls.
#pragma once

#include "core/error.h"
#include "host/hva.h"
#include "host/process_space.h"

#include <array>
#include <cstddef>
#include <optional>
#include <span>
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

  PrivateBatch(const ProcessSpace& space, Sink& sink) : space_{space}, sink_{sink} {}
  PrivateBatch(const PrivateBatch&) = delete;
  PrivateBatch& operator=(const PrivateBatch&) = delete;
  ~PrivateBatch() = default;

  /// Queues a read; reads what is queued when the queue is full.
  void add(std::size_t tag, Hva hva, std::span<std::byte> buffer);

  /// Reads all queued stretches. Failing ones are reported to the sink, the others are still read. An error:
  /// nothing that was read may be used.
  [[nodiscard]] std::optional<ErrorKind> finish();

  /// Whether anything was read, so that finish() has proved that the process runs the program.
  [[nodiscard]] bool used() const { return used_; }

private:
  /// Far below IOV_MAX; larger batches gain nothing (about 16 scattered pages a call are enough).
  static constexpr std::size_t kCapacity = ProcessSpace::kMaxPieces;

  void flush();
  void advance(std::size_t bytes);
  void fail_first(int os_errno);

  const ProcessSpace& space_;
  Sink& sink_;
  std::size_t first_ = 0; ///< first stretch not read in full
  std::size_t count_ = 0;
  bool used_ = false;
  bool proved_ = false; ///< what was read is of the address space
  ProcessSpace::Pieces local_;
  ProcessSpace::Pieces remote_;
  std::array<std::size_t, kCapacity> tags_;
};

} // namespace vmemfs
