// SPDX-License-Identifier: MIT
#include "host/process_memory.h"

#include "host/process.h"

#include <array>
#include <cerrno>
#include <fmt/format.h>
#include <sys/uio.h>

namespace vmemfs {
namespace {

constexpr std::string_view kOrigin = "proc";

tl::unexpected<Error> read_failed(int os_errno, pid_t pid, Hva hva) {
  std::string what = fmt::format("cannot read memory of process {} at {:#x}", pid, hva);
  if (os_errno == EPERM || os_errno == EACCES) {
    what += fmt::format(" ({})", access_remedy(pid));
  }
  return fail_errno(os_errno, kOrigin, std::move(what));
}

/// The kernel reads from it; the pointer is never dereferenced in this address space.
iovec remote_vector(Hva hva, std::size_t size) {
  return iovec{reinterpret_cast<void*>(hva), size}; // NOLINT(performance-no-int-to-ptr)
}

} // namespace

Result<void> read_process_memory(pid_t pid, Hva hva, std::span<std::byte> buffer) {
  const ProcessPiece piece{hva, buffer};
  return read_process_memory(pid, std::span{&piece, 1});
}

Result<void> read_process_memory(pid_t pid, std::span<const ProcessPiece> pieces) {
  if (pieces.size() > kMaxProcessPieces) {
    return fail(ErrorKind::invalid, kOrigin, "too many pieces in one read of process memory");
  }
  std::array<iovec, kMaxProcessPieces> local{};
  std::array<iovec, kMaxProcessPieces> remote{};
  std::size_t wanted = 0;
  for (std::size_t i = 0; i < pieces.size(); ++i) {
    local[i] = iovec{pieces[i].buffer.data(), pieces[i].buffer.size()};
    remote[i] = remote_vector(pieces[i].hva, pieces[i].buffer.size());
    wanted += pieces[i].buffer.size();
  }
  const ssize_t got = ::process_vm_readv(pid, local.data(), pieces.size(), remote.data(), pieces.size(), 0);
  if (got < 0) {
    return read_failed(errno, pid, pieces.front().hva);
  }
  if (static_cast<std::size_t>(got) != wanted) {
    return read_failed(EFAULT, pid, pieces.front().hva);
  }
  return {};
}

Result<std::size_t> read_process_memory_prefix(pid_t pid, Hva hva, std::span<std::byte> buffer) {
  const iovec local{buffer.data(), buffer.size()};
  const iovec remote = remote_vector(hva, buffer.size());
  const ssize_t got = ::process_vm_readv(pid, &local, 1, &remote, 1, 0);
  if (got <= 0) {
    return read_failed(got == 0 ? EFAULT : errno, pid, hva);
  }
  return static_cast<std::size_t>(got);
}

Result<void> check_process_memory_access(pid_t pid) {
  // Rights are checked before addresses, and at address 0 nothing is mapped.
  std::byte buffer{};
  const iovec local{&buffer, 1};
  const iovec remote = remote_vector(0, 1);
  if (::process_vm_readv(pid, &local, 1, &remote, 1, 0) < 0 && errno != EFAULT) {
    return read_failed(errno, pid, 0);
  }
  return {};
}

} // namespace vmemfs
