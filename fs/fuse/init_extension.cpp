// SPDX-License-Identifier: MIT
#include "fs/fuse/init_extension.h"

#include "fs/fuse/fuse_mount.h"

#include <algorithm>
#include <cstddef>
#include <cstring>
#include <linux/fuse.h>
#include <sys/eventfd.h>

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
  return (request.init.flags & FUSE_INIT_EXT) != 0 ? request.init.flags2 : 0;
}

} // namespace

InitExtension::InitExtension(bool wanted_mappings)
    : wanted_mappings_{wanted_mappings}, answered_{::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)} {}

// Kernels before 5.17 send a request without the second half of the flags, which is shorter.
void InitExtension::note_request(std::span<const std::byte> request) {
  InitRequest init{};
  if (request.size() < sizeof(init.header) || request.size() > sizeof(init)) {
    return;
  }
  std::memcpy(&init.header, request.data(), sizeof(init.header));
  if (init.header.opcode != FUSE_INIT) {
    return;
  }
  std::memcpy(&init, request.data(), request.size());
  const std::uint32_t wanted = (wanted_mappings_ ? kDirectIoAllowMmap : 0U) | kPassthrough;
  offered_ = request.size() == sizeof(init) ? offered_by(init) & wanted : 0;
  unanswered_ = init.header.unique;
}

void InitExtension::complete(std::span<const iovec> answer) {
  const std::uint64_t unanswered = unanswered_.load(std::memory_order_relaxed);
  if (unanswered == 0) {
    return;
  }
  fuse_out_header header{};
  if (answer.empty() || answer[0].iov_len != sizeof(header)) {
    return;
  }
  std::memcpy(&header, answer[0].iov_base, sizeof(header));
  if (header.unique != unanswered) {
    return;
  }
  unanswered_ = 0;
  if (header.error == 0) {
    grant(answer);
    static_cast<void>(::eventfd_write(answered_.get(), 1));
  }
}

void InitExtension::grant(std::span<const iovec> answer) {
  const std::uint32_t granted = offered_;
  fuse_init_out init{};
  if (granted == 0 || answer.size() != 2 || answer[1].iov_len != sizeof(init)) {
    return;
  }
  std::memcpy(&init, answer[1].iov_base, sizeof(init));
  init.max_readahead = std::max(init.max_readahead, kReadAheadBytes); // the kernel takes the lower of its own
  init.flags |= FUSE_INIT_EXT;
  init.flags2 |= granted;
  if ((granted & kPassthrough) != 0) {
    constexpr std::size_t kBehindFlags = offsetof(fuse_init_out, flags2) + sizeof(init.flags2);
    std::memcpy(reinterpret_cast<std::byte*>(&init) + kBehindFlags, &kMaxStackDepth, sizeof(kMaxStackDepth));
  }
  std::memcpy(answer[1].iov_base, &init, sizeof(init));
  mappings_ = (granted & kDirectIoAllowMmap) != 0;
  passthrough_ = (granted & kPassthrough) != 0;
}

} // namespace vmemfs
