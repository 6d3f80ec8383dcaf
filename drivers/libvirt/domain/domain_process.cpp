// SPDX-License-Identifier: MIT
#include "drivers/libvirt/domain/domain_process.h"

#include "core/text.h"
#include "driver/discovery.h"
#include "drivers/libvirt/connection/default_uri.h"
#include "util/unique_fd.h"

#include <algorithm>
#include <array>
#include <fcntl.h>
#include <filesystem>
#include <fmt/format.h>
#include <optional>
#include <string_view>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>
#include <vector>

namespace vmemfs::libvirt {
namespace {

/// The daemon that listens there, and the directories of its sockets.
struct Daemon {
  pid_t pid;
  std::string socket_dir;
};

std::optional<Daemon> listener_on(const std::string& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.empty() || path.size() >= sizeof(address.sun_path)) {
    return std::nullopt;
  }
  path.copy(address.sun_path, path.size());
  const UniqueFd socket{::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0)};
  ucred peer{};
  socklen_t size = sizeof(peer);
  if (!socket || ::connect(socket.get(), reinterpret_cast<const sockaddr*>(&address), sizeof(address)) != 0 ||
      ::getsockopt(socket.get(), SOL_SOCKET, SO_PEERCRED, &peer, &size) != 0 || peer.pid == 0) {
    return std::nullopt;
  }
  return Daemon{peer.pid, std::filesystem::path{path}.parent_path()};
}

std::optional<Daemon> daemon_of(const ConnectionUri& uri) {
  if (!uri.socket.empty()) {
    return listener_on(uri.socket);
  }
  const std::string directory = socket_directory(uri);
  for (const char* const name : {"virtqemud-sock", "libvirt-sock"}) {
    if (auto found = listener_on(fmt::format("{}/{}", directory, name))) {
      return found;
    }
  }
  return std::nullopt;
}

bool has_uuid(const std::vector<std::string>& arguments, std::string_view uuid) {
  const auto option = std::ranges::find(arguments, "-uuid");
  return option != arguments.end() && std::next(option) != arguments.end() && *std::next(option) == uuid;
}

bool is_domain(pid_t pid, std::string_view uuid) {
  const auto arguments = command_line(pid);
  return arguments && has_uuid(*arguments, uuid);
}

/// The number in a file that may belong to anybody: nothing that blocks, no link, no device.
std::optional<std::uint64_t> number_in(const std::string& path) {
  const UniqueFd file{::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOFOLLOW | O_NOCTTY)};
  struct stat status {};
  std::array<char, 64> text{};
  if (!file || ::fstat(file.get(), &status) != 0 || !S_ISREG(status.st_mode)) {
    return std::nullopt;
  }
  const ssize_t size = ::read(file.get(), text.data(), text.size());
  return size > 0 ? parse_u64(trim({text.data(), static_cast<std::size_t>(size)})) : std::nullopt;
}

/// libvirt keeps a pid file; the daemon may have a different view of the filesystem.
std::optional<pid_t> pid_by_state(const Daemon& daemon, const DomainRun& run) {
  if (run.name.find('/') != std::string::npos) {
    return std::nullopt;
  }
  const std::string root = fmt::format("/proc/{}/root", daemon.pid);
  for (const std::string& directory : {daemon.socket_dir + "/qemu/run", std::string{"/run/libvirt/qemu"}}) {
    const auto pid = number_in(fmt::format("{}{}/{}.pid", root, directory, run.name));
    if (pid && is_domain(static_cast<pid_t>(*pid), run.uuid)) {
      return static_cast<pid_t>(*pid);
    }
  }
  return std::nullopt;
}

Result<pid_t> pid_by_uuid(const DomainRun& run) {
  std::vector<pid_t> found = list_pids();
  std::erase_if(found, [&](pid_t pid) { return !is_domain(pid, run.uuid); });
  if (found.empty()) {
    return fail(ErrorKind::not_found, kOrigin,
                fmt::format("no visible process of this host was started with -uuid {}", run.uuid));
  }
  if (found.size() > 1) {
    return fail(ErrorKind::invalid, kOrigin,
                fmt::format("{} processes of this host were started with -uuid {}, and libvirt's run-time "
                            "state, which would identify the right one, cannot be read: {}",
                            found.size(), run.uuid, access_remedy(found.front())));
  }
  return found.front();
}

} // namespace

Result<Process> find_domain_process(const ConnectionUri& uri, const DomainRun& run) {
  const auto daemon = daemon_of(uri);
  const auto by_state = daemon ? pid_by_state(*daemon, run) : std::nullopt;
  const auto pid = by_state ? Result<pid_t>{*by_state} : pid_by_uuid(run);
  return pid.and_then([](pid_t number) { return Process::open(number); });
}

std::string domain_key(const Connection& connection, const DomainRun& run) {
  const auto place = connection.place();
  if (place && place->local() && place->driver == "xen") {
    return xen_domain_key(static_cast<std::uint32_t>(run.id), run.uuid);
  }
  if (place && place->local() && place->driver == "qemu") {
    if (const auto process = find_domain_process(*place, run)) {
      return process_key(*process);
    }
  }
  return fmt::format("libvirt {} {}.{}", connection.uri(), run.uuid, run.id);
}

} // namespace vmemfs::libvirt
