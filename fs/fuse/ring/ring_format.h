// SPDX-License-Identifier: MIT
// Layout of requests that come by io_uring (Linux 6.14), which the kernel headers of Debian 12 do not have.
// Source: the kernel's include/uapi/linux/fuse.h; what it does with them: fs/fuse/dev_uring.c.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

namespace vmemfs {

/// FUSE_OVER_IO_URING: bit 41 of the flags of the first request, of which this is the second half.
inline constexpr std::uint32_t kOverIoUring = 1U << (41U - 32U);

/// fuse_uring_req_header: the first of the two buffers of an entry. The other one is the payload: what
/// follows the operation's own header in a request, and all that follows the header in an answer.
struct RingHeader {
  std::array<std::byte, 128> in_out;    ///< fuse_in_header of a request; fuse_out_header of its answer
  std::array<std::byte, 128> operation; ///< its own header, such as fuse_read_in
  std::uint64_t flags;
  std::uint64_t commit_id; ///< the kernel's name of the request, which the answer repeats
  std::uint32_t payload_bytes;
  std::uint32_t padding;
  std::uint64_t reserved;
};
static_assert(sizeof(RingHeader) == 288);

/// fuse_uring_cmd_req: at the end of the submission, which is of 128 bytes (IORING_SETUP_SQE128).
struct RingCommand {
  std::uint64_t flags;
  std::uint64_t commit_id; ///< of an answer
  std::uint16_t queue;     ///< number of the CPU
  std::array<std::uint8_t, 6> padding;
};
static_assert(sizeof(RingCommand) == 24);

/// fuse_uring_cmd
enum class RingOperation : std::uint32_t {
  add_entry = 1,        ///< FUSE_IO_URING_CMD_REGISTER; it ends when the entry has a request
  answer_and_fetch = 2, ///< FUSE_IO_URING_CMD_COMMIT_AND_FETCH; it ends when the entry has the next one
};

} // namespace vmemfs
