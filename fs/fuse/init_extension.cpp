// SPDX-License-Identifier: MIT
#include "fs/fuse/init_extension.h"

#include "fs/fuse/fuse_mount.h"

#include <algorithm>
#include <cstddef>
#include <cstring>
#include <linux/fuse.h>

namespace vmemfs {
namespace {

// Not in the headers of Debian 12: bits 36 and 37 of the flags, of which this is the second half.
constexpr std::uint32_t kDirectIoAllowMmap = 1U << (36U - 32U);
constexpr std::uint32_t kPassthrough = 1U << (37U - 32U);

/// Of backing files: not on a file system that is stacked on another one itself, such as overlayfs. It is the
/// word behind the flags, which these headers count to the unused ones.
constexpr std::uint32_t kMaxStackDepth = 1;

struct InitRequest {
  fuse_in_header header;
  fuse_init_in init;
};

/// The second half of the flags.
std::uint32_t offered_by(const InitRequest& request) {
  const bool has_second_half =
      request.header.opcode == FUSE_INIT && (request.init.flags & FUSE_INIT_EXT) != 0;
  return has_second_half ? request.init.flags2 : 0;
}

} // namespace

// Kernels before 5.17 send a request without the second half of the flags, which is shorter.
void InitExtension::note_request(std::span<const std::byte> request) {
  InitRequest init{};
  if (request.size() == sizeof(init)) {
    std::memcpy(&init, request.data(), sizeof(init));
    const std::uint32_t wanted = (wanted_mappings_ ? kDirectIoAllowMmap : 0U) | kPassthrough;
    if (const std::uint32_t offered = offered_by(init) & wanted; offered != 0) {
      offered_ = offered;
      unanswered_ = init.header.unique;
    }
  }
}

void InitExtension::complete(std::span<const iovec> answer) {
  const std::uint64_t unanswered = unanswered_.load(std::memory_order_relaxed);
  if (unanswered == 0) {
    return;
  }
  fuse_out_header header{};
  fuse_init_out init{};
  if (answer.size() != 2 || answer[0].iov_len != sizeof(header) || answer[1].iov_len != sizeof(init)) {
    return;
  }
  std::memcpy(&header, answer[0].iov_base, sizeof(header));
  if (header.unique != unanswered || header.error != 0) {
    return;
  }
  std::memcpy(&init, answer[1].iov_base, sizeof(init));
  init.max_readahead = std::max(init.max_readahead, kReadAheadBytes); // the kernel takes the lower of its own
  init.flags |= FUSE_INIT_EXT;
  const std::uint32_t granted = offered_;
  init.flags2 |= granted;
  if ((granted & kPassthrough) != 0) {
    constexpr std::size_t kBehindFlags = offsetof(fuse_init_out, flags2) + sizeof(init.flags2);
    std::memcpy(reinterpret_cast<std::byte*>(&init) + kBehindFlags, &kMaxStackDepth, sizeof(kMaxStackDepth));
  }
  std::memcpy(answer[1].iov_base, &init, sizeof(init));
  unanswered_ = 0;
  mappings_ = (granted & kDirectIoAllowMmap) != 0;
  passthrough_ = (granted & kPassthrough) != 0;
}

} // namespace vmemfs
