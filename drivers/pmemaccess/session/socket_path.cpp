// SPDX-License-Identifier: MIT
#include "drivers/pmemaccess/session/socket_path.h"

#include "core/text.h"
#include "drivers/pmemaccess/session/memory_session.h"
#include "drivers/qemu_protocol/qmp_address.h"

#include <array>
#include <cerrno>
#include <cstdint>
#include <filesystem>
#include <fmt/format.h>
#include <string_view>
#include <sys/random.h>

namespace vmemfs::pmemaccess {
namespace {

constexpr std::string_view kOrigin = "pmemaccess";

} // namespace

Result<std::string> new_socket_path(const std::string& directory) {
  std::array<std::uint64_t, 2> random{};
  if (::getrandom(random.data(), sizeof(random), 0) != static_cast<ssize_t>(sizeof(random))) {
    return fail_errno(errno, kOrigin, "cannot get random numbers");
  }
  auto path = fmt::format("{}{}vmemfs-{:016x}{:016x}", directory, directory.ends_with('/') ? "" : "/",
                          random[0], random[1]);
  if (path.size() > MemorySession::kMaxPath) {
    return fail(
        ErrorKind::invalid, kOrigin,
        fmt::format("the memory socket cannot be in {}: with its name the path has {} bytes, and QEMU "
                    "takes {}; name a directory with a shorter path by dir=",
                    printable(directory, 200), path.size(), MemorySession::kMaxPath));
  }
  return path;
}

Result<std::string> directory_of_monitor(const std::string& address) {
  if (!is_path_address(address)) {
    return fail(ErrorKind::invalid, kOrigin,
                fmt::format("the monitor {} is in no directory; name one for the memory socket by dir=",
                            printable(address)));
  }
  return std::filesystem::path{absolute_address(address)}.parent_path().string();
}

} // namespace vmemfs::pmemaccess
