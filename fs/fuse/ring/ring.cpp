// SPDX-License-Identifier: MIT
#include "fs/fuse/ring/ring.h"

#include <cerrno>
#include <cstddef>
#include <cstring>
#include <liburing.h>

namespace vmemfs {
namespace {

/// Only IORING_OP_URING_CMD, and nothing more may be registered. The library of Debian 12 does not export its
/// functions for this.
int restrict_to_commands(io_uring& ring) {
  io_uring_restriction commands{};
  commands.opcode = IORING_RESTRICTION_SQE_OP;
  commands.sqe_op = IORING_OP_URING_CMD;
  const auto fd = static_cast<unsigned>(ring.ring_fd);
  const int restricted = io_uring_register(fd, IORING_REGISTER_RESTRICTIONS, &commands, 1);
  return restricted < 0 ? restricted : io_uring_register(fd, IORING_REGISTER_ENABLE_RINGS, nullptr, 0);
}

tl::unexpected<Error> unavailable(int result) {
  return fail(ErrorKind::unsupported, "mount",
              fail_errno(-result, "mount", "this process cannot use io_uring").value().text);
}

} // namespace

void Ring::Exit::operator()(io_uring* ring) const {
  if (ring->ring_fd >= 0) {
    io_uring_queue_exit(ring);
  }
  delete ring; // NOLINT(cppcoreguidelines-owning-memory)
}

Result<Ring> Ring::create() {
  Ring created;
  created.ring_.reset(new io_uring{});
  created.ring_->ring_fd = -1;
  io_uring ring{};
  if (const int result = io_uring_queue_init(1, &ring, IORING_SETUP_SQE128 | IORING_SETUP_R_DISABLED);
      result < 0) {
    return unavailable(result);
  }
  *created.ring_ = ring;
  if (const int result = restrict_to_commands(*created.ring_); result < 0) {
    return unavailable(result);
  }
  return created;
}

int Ring::run(const Command& command, const std::atomic<bool>& stopping) {
  io_uring_sqe* const entry = io_uring_get_sqe(ring_.get());
  if (entry == nullptr) { // a command has not ended
    return -EBUSY;
  }
  io_uring_prep_rw(IORING_OP_URING_CMD, entry, command.device, command.entry,
                   command.entry == nullptr ? 0 : static_cast<unsigned>(command.entry->size()), 0);
  entry->cmd_op = static_cast<std::uint32_t>(command.operation);
  const RingCommand details{0, command.commit_id, command.queue, {}};
  std::memcpy(reinterpret_cast<std::byte*>(entry) + offsetof(io_uring_sqe, cmd), &details, sizeof(details));
  io_uring_cqe* end = nullptr;
  for (int result = io_uring_submit_and_wait(ring_.get(), 1);;
       result = io_uring_wait_cqe(ring_.get(), &end)) {
    if (io_uring_peek_cqe(ring_.get(), &end) == 0) {
      const int ended = end->res;
      io_uring_cqe_seen(ring_.get(), end);
      return ended;
    }
    if (stopping) {
      return -ECANCELED;
    }
    if (result < 0 && result != -EINTR && result != -EAGAIN) {
      return result;
    }
  }
}

} // namespace vmemfs
