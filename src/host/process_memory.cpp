// SPDX-License-Identifier: MIT
#include "host/process_memory.h"

#include "core/text.h"
#include "host/process.h"
#include "util/unique_fd.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <fcntl.h>
#include <fmt/format.h>
#include <string_view>
#include <sys/uio.h>
#include <unistd.h>
#include <utility>

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

/// A line of /proc/PID/status such as "VmSwap:      12 kB", in bytes.
std::optional<std::uint64_t> status_bytes(std::string_view status, std::string_view key) {
  const std::size_t at = status.find(key);
  if (at == std::string_view::npos) {
    return std::nullopt;
  }
  const std::string_view line = status.substr(at + key.size());
  const auto kib = parse_u64(trim(line.substr(0, line.find("kB"))));
  constexpr std::uint64_t kKib = 1024;
  return kib ? std::optional{*kib * kKib} : std::nullopt;
}

} // namespace

std::optional<std::uint64_t> private_bytes(pid_t pid) {
  std::array<char, 4096> buffer; // both lines are in the first kilobytes
  const UniqueFd file{::open(fmt::format("/proc/{}/status", pid).c_str(), O_RDONLY | O_CLOEXEC)};
  const ssize_t size = file ? ::read(file.get(), buffer.data(), buffer.size()) : -1;
  const std::string_view status{buffer.data(), static_cast<std::size_t>(std::max<ssize_t>(size, 0))};
  const auto resident = status_bytes(status, "\nRssAnon:");
  const auto swapped = status_bytes(status, "\nVmSwap:");
  return resident && swapped ? std::optional{*resident + *swapped} : std::nullopt;
}

Result<void> read_process_memory(const ProcessSpace& space, Hva hva, std::span<std::byte> buffer) {
  for (std::size_t done = 0; done < buffer.size();) {
    const auto got = read_process_memory_prefix(space, hva + done, buffer.subspan(done));
    if (!got) {
      return tl::unexpected{got.error()};
    }
    done += *got;
  }
  return {};
}

Result<std::size_t> read_process_memory_prefix(const ProcessSpace& space, Hva hva,
                                               std::span<std::byte> buffer) {
  ProcessSpace::Pieces local;
  ProcessSpace::Pieces remote;
  local[0] = {buffer.data(), buffer.size()};
  remote[0] = {reinterpret_cast<void*>(hva), buffer.size()}; // NOLINT(performance-no-int-to-ptr)
  bool proved = false;
  const ssize_t got = space.read(local, remote, 0, 1, proved);
  const int os_errno = got < 0 ? errno : EFAULT;
  if (!proved) {
    if (auto current = space.check_current(); !current) {
      return tl::unexpected{std::move(current.error())};
    }
  }
  return got > 0 ? Result<std::size_t>{static_cast<std::size_t>(got)}
                 : read_failed(os_errno, space.pid(), hva);
}

ProcessWrite write_process_memory(const ProcessSpace& space, Hva hva, std::span<const std::byte> bytes) {
  ProcessWrite write;
  const auto memory = space.memory();
  if (!memory) {
    write.failure = memory.error();
  }
  while (!write.failure && write.done < bytes.size()) {
    const auto rest = bytes.subspan(write.done);
    const ssize_t put = ::pwrite(*memory, rest.data(), rest.size(), static_cast<off_t>(hva + write.done));
    if (put > 0) {
      write.done += static_cast<std::size_t>(put);
    } else if (put == 0) {
      write.failure = space.gone().value();
    } else if (errno != EINTR) {
      write.failure =
          fail_errno(errno, kOrigin,
                     fmt::format("cannot write memory of process {} at {:#x}", space.pid(), hva + write.done))
              .value();
    }
  }
  return write;
}

Result<void> check_process_memory_access(pid_t pid) {
  // Rights are checked before addresses, and at address 0 nothing is mapped.
  std::byte buffer{};
  const iovec local{&buffer, 1};
  const iovec remote{nullptr, 1};
  if (::process_vm_readv(pid, &local, 1, &remote, 1, 0) < 0 && errno != EFAULT) {
    return read_failed(errno, pid, 0);
  }
  return {};
}

} // namespace vmemfs
