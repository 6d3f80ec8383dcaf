// Reads a large stretch of another process's memory on two CPUs at once.
//
// A copy out of another process is bound by one CPU, and whoever waits for it has the others idle meanwhile.
// One thread for the whole program lends a hand where it is free and gets a CPU; the reader does not wait for
// it to come, so where none is idle the only cost is waking it.
#pragma once

#include "host/hva.h"

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <mutex>
#include <span>
#include <stop_token>
#include <sys/types.h>
#include <thread>

namespace vmemfs {

/// Thread-safe.
class PairedReader {
public:
  /// Below this a second CPU is not worth waking.
  static constexpr std::size_t kWorthIt = std::size_t{512} << 10U;

  /// The program's; its thread starts with the first use.
  static PairedReader& shared();

  PairedReader();
  ~PairedReader();
  PairedReader(const PairedReader&) = delete;
  PairedReader& operator=(const PairedReader&) = delete;

  /// Fills `buffer` with process_vm_readv. False: the hand was not free, or not all of it could be read; then
  /// read it in the plain way, which tells what and why. No allocation.
  [[nodiscard]] bool read(pid_t pid, Hva hva, std::span<std::byte> buffer);

private:
  /// Of the one stretch that is being read.
  enum class Hand : std::uint32_t {
    away,  ///< nothing to do, or too late
    asked, ///< may come
    here,  ///< reads along: the reader must wait for it
  };

  void run(const std::stop_token& stop);
  void copy_chunks();

  std::mutex turn_; ///< held by the reader whose stretch it is; guards what follows, up to the atomics
  pid_t pid_ = 0;
  Hva hva_ = 0;
  std::span<std::byte> buffer_;
  std::atomic<std::size_t> next_{0}; ///< bytes that are taken already, by either
  std::atomic<bool> failed_{false};
  std::atomic<Hand> hand_{Hand::away};
  std::jthread thread_; ///< only where there is a second CPU
};

} // namespace vmemfs
