// SPDX-License-Identifier: MIT
// Shared mappings of memory files: a feature of the kernel (Linux 6.6) that libfuse 3.14 cannot request.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <span>
#include <sys/uio.h>

namespace vmemfs {

/// Sees all that libfuse reads from the device and writes to it, and completes libfuse's answer to the
/// kernel's first request, FUSE_INIT. Without the feature, mmap(MAP_SHARED) of a file with direct_io is
/// ENODEV. With it, a file that is open for reading and writing can be mapped to write, too: see
/// FileSystem::keep(). Thread-safe.
class InitExtension {
public:
  /// Not `wanted`: mappings stay as libfuse has the kernel make them.
  explicit InitExtension(bool wanted) : wanted_{wanted} {}

  void note_request(std::span<const std::byte> request);
  /// To be called before the answer is sent. `answer`: as libfuse has made it, a header and its data.
  void complete(std::span<const iovec> answer);

  /// Whether files may be mapped shared. Does not change after the first request.
  [[nodiscard]] bool shared_mappings() const { return granted_.load(std::memory_order_relaxed); }

private:
  const bool wanted_;
  std::atomic<std::uint64_t> unanswered_{0}; ///< the number of the kernel's request, if it offers the feature
  std::atomic<bool> granted_{false};
};

} // namespace vmemfs
