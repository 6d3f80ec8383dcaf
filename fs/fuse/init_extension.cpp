// SPDX-License-Identifier: MIT
#include "fs/fuse/init_extension.h"

#include <cstring>
#include <linux/fuse.h>

namespace vmemfs {
namespace {

/// FUSE_DIRECT_IO_ALLOW_MMAP, bit 36 of the flags; not in the headers of Debian 12.
constexpr std::uint32_t kDirectIoAllowMmap = 1U << (36U - 32U);

struct InitRequest {
  fuse_in_header header;
  fuse_init_in init;
};

bool offers_shared_mappings(const InitRequest& request) {
  return request.header.opcode == FUSE_INIT && (request.init.flags & FUSE_INIT_EXT) != 0 &&
         (request.init.flags2 & kDirectIoAllowMmap) != 0;
}

} // namespace

// Kernels before 5.17 send a request without the second half of the flags, which is shorter.
void InitExtension::note_request(std::span<const std::byte> request) {
  InitRequest init{};
  if (wanted_ && request.size() == sizeof(init)) {
    std::memcpy(&init, request.data(), sizeof(init));
    if (offers_shared_mappings(init)) {
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
  init.flags |= FUSE_INIT_EXT;
  init.flags2 |= kDirectIoAllowMmap;
  std::memcpy(answer[1].iov_base, &init, sizeof(init));
  unanswered_ = 0;
  granted_ = true;
}

} // namespace vmemfs
