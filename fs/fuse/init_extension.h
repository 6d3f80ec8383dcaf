// SPDX-License-Identifier: MIT
// Features of the kernel that libfuse 3.14 cannot request: shared mappings of memory files (Linux 6.6), and
// passthrough to backing files (Linux 6.9).
#pragma once

#include "util/unique_fd.h"

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <span>
#include <sys/uio.h>

namespace vmemfs {

/// Sees all that libfuse reads from the device and writes to it, and completes libfuse's answer to the
/// kernel's first request, FUSE_INIT: only then is there a file system. Without the first one,
/// mmap(MAP_SHARED) of a file with direct_io is ENODEV. With it, a file that is open for reading and writing
/// can be mapped to write, too: see FileSystem::keep(). Thread-safe.
class InitExtension {
public:
  /// Not `wanted_mappings`: mappings stay as libfuse has the kernel make them.
  explicit InitExtension(bool wanted_mappings);

  void note_request(std::span<const std::byte> request);
  /// To be called before the answer is sent. `answer`: as libfuse has made it, a header and its data.
  void complete(std::span<const iovec> answer);

  /// Readable once the answer is about to be sent, if it is no refusal. -1: out of descriptors.
  [[nodiscard]] int answered() const { return answered_.get(); }

  /// Whether files may be mapped shared. Does not change after the first request.
  [[nodiscard]] bool shared_mappings() const { return mappings_.load(std::memory_order_relaxed); }
  /// Whether the kernel does passthrough: see Passthrough. Does not change after the first request.
  [[nodiscard]] bool passthrough() const { return passthrough_.load(std::memory_order_relaxed); }

private:
  void grant(std::span<const iovec> answer);

  const bool wanted_mappings_;
  UniqueFd answered_;
  std::atomic<std::uint64_t> unanswered_{0}; ///< the number of the kernel's request
  std::atomic<std::uint32_t> offered_{0};    ///< in that request, as bits of the flags' second half
  std::atomic<bool> mappings_{false};
  std::atomic<bool> passthrough_{false};
};

} // namespace vmemfs
