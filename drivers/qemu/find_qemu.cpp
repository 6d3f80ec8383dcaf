// SPDX-License-Identifier: MIT
#include "drivers/qemu/find_qemu.h"

#include "core/text.h"

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <fmt/format.h>
#include <fmt/ranges.h>
#include <limits>
#include <optional>
#include <sys/socket.h>
#include <sys/un.h>
#include <thread>
#include <utility>

namespace vmemfs::qemu {
namespace {

/// Who listens on the socket. The kernel knows it as soon as the connection waits in the queue, so
/// this works also while another client has the monitor; nothing is sent.
Result<pid_t> listener_of(const std::string& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.size() >= sizeof(address.sun_path)) {
    return fail(ErrorKind::invalid, "qemu",
                fmt::format("'{}' is longer than a socket's path can be ({} bytes)", printable(path),
                            sizeof(address.sun_path) - 1));
  }
  path.copy(address.sun_path, path.size());
  const UniqueFd socket{::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0)};
  if (!socket) {
    return fail_errno(errno, "qemu", "can't make a socket");
  }
  if (::connect(socket.get(), reinterpret_cast<const sockaddr*>(&address), sizeof(address)) != 0) {
    if (errno == ENOENT || errno == ECONNREFUSED) {
      return fail(ErrorKind::not_found, "qemu",
                  fmt::format("nobody listens on '{}'; is the VM running, and was QEMU started with "
                              "-qmp unix:{},server=on,wait=off?",
                              path, path));
    }
    if (errno == EACCES || errno == EPERM) {
      return fail(ErrorKind::permission, "qemu",
                  fmt::format("no right to connect to '{}': run vmemfs as the user that QEMU runs as, or as "
                              "root, or with CAP_DAC_OVERRIDE",
                              path));
    }
    return fail_errno(errno, "qemu", fmt::format("can't connect to '{}'", path));
  }
  ucred peer{};
  socklen_t size = sizeof(peer);
  if (::getsockopt(socket.get(), SOL_SOCKET, SO_PEERCRED, &peer, &size) != 0) {
    return fail_errno(errno, "qemu", fmt::format("can't tell who listens on '{}'", path));
  }
  return peer.pid;
}

Result<QemuCommandLine> read_command_line(pid_t pid) {
  const auto exe = exe_path(pid);
  const auto name = exe ? exe : comm(pid);
  const auto arguments = command_line(pid);
  if (!name || !arguments) {
    return tl::unexpected{name ? arguments.error() : name.error()};
  }
  if (!is_qemu(*name) && (arguments->empty() || !is_qemu(arguments->front()))) {
    return fail(ErrorKind::invalid, "qemu",
                fmt::format("process {} is no QEMU system emulator ({})", pid, printable(*name)));
  }
  return parse_qemu_command_line(*arguments);
}

/// The one running QEMU of that name.
Result<pid_t> pid_by_name(const std::string& name) {
  std::vector<pid_t> found;
  for (const pid_t pid : list_pids()) {
    const auto short_name = comm(pid); // cheap: most processes are told apart by it
    if (!short_name || !is_qemu(*short_name)) {
      const auto exe = exe_path(pid);
      if (!exe || !is_qemu(*exe)) {
        continue;
      }
    }
    const auto line = read_command_line(pid);
    if (line && line->name == name) {
      found.push_back(pid);
    }
  }
  if (found.size() == 1) {
    return found.front();
  }
  if (found.empty()) {
    return fail(ErrorKind::not_found, "qemu",
                fmt::format("no running QEMU has -name {}; give pid= or qmp= instead", printable(name)));
  }
  return fail(ErrorKind::invalid, "qemu",
              fmt::format("several QEMUs have -name {}: pids {}; give pid= instead", printable(name),
                          fmt::join(found, ", ")));
}

/// All pids that the parameters stand for; they must be one and the same.
Result<pid_t> the_pid(const Params& params) {
  std::vector<std::pair<std::string_view, pid_t>> pids;
  if (params.has("pid")) {
    pids.emplace_back("pid", static_cast<pid_t>(params.number("pid"))); // its range is the parameter's
  }
  if (params.has("name")) {
    auto pid = pid_by_name(params.text("name"));
    if (!pid) {
      return pid;
    }
    pids.emplace_back("name", *pid);
  }
  if (params.has("qmp")) {
    auto pid = listener_of(params.text("qmp"));
    if (!pid && pids.empty()) {
      return pid;
    }
    if (pid && *pid > 0) { // 0: a process of another pid namespace
      pids.emplace_back("qmp", *pid);
    }
  }
  if (pids.empty()) {
    return fail(ErrorKind::invalid, "qemu", "one of qmp, pid and name is needed");
  }
  for (const auto& [key, pid] : pids) {
    if (pid != pids.front().second) {
      return fail(ErrorKind::invalid, "qemu",
                  fmt::format("{} and {} stand for different processes ({} and {})", pids.front().first, key,
                              pids.front().second, pid));
    }
  }
  return pids.front().second;
}

void find_monitors(const Params& params, FoundQemu& qemu) {
  if (params.has("qmp")) {
    qemu.monitor_paths.push_back(params.text("qmp"));
    return;
  }
  qemu.no_monitor = "QEMU was started without a QMP socket; -qmp unix:PATH,server=on,wait=off gives it one";
  for (const MonitorSocket& socket : qemu.command_line.qmp) {
    if (socket.libvirts) {
      qemu.no_monitor =
          "its monitor is libvirt's own: the driver libvirt has pause and resume, while the daemon "
          "runs, and registers with passthrough=on; or give the domain one more QMP socket";
      continue;
    }
    auto path = find_monitor_path(socket, qemu.process->pid());
    if (path) {
      qemu.monitor_paths.push_back(std::move(*path));
    } else {
      qemu.no_monitor = path.error().message();
    }
  }
}

/// QEMU makes its monitors a moment after its memory. Who attached in between would be without for good. By
/// the sockets alone: QEMU may be waiting for its user to connect to one.
bool lacks_its_monitors(const FoundQemu& qemu) {
  const auto lacking = [&](const MonitorSocket& socket) {
    const auto path = find_monitor_path(socket, qemu.process->pid());
    return !path && path.error().kind == ErrorKind::not_found;
  };
  return !qemu.command_line.qmp.empty() && std::ranges::all_of(qemu.command_line.qmp, lacking);
}

/// Waits a little for a QEMU that is just starting; true where it still is.
bool is_still_starting(const FoundQemu& qemu) {
  constexpr std::chrono::seconds kStarting{5}; // later its monitors are somewhere else, or gone
  constexpr std::chrono::milliseconds kPatience{500};
  constexpr std::chrono::milliseconds kPollInterval{10};
  const auto limit = std::chrono::steady_clock::now() + kPatience;
  while (qemu.process->age() < kStarting && qemu.process->alive() && lacks_its_monitors(qemu)) {
    if (std::chrono::steady_clock::now() >= limit) {
      return true;
    }
    std::this_thread::sleep_for(kPollInterval);
  }
  return false;
}

} // namespace

Result<FoundQemu> find_qemu(const Params& params) {
  const auto pid = the_pid(params);
  if (!pid) {
    return tl::unexpected{pid.error()};
  }
  auto process = Process::open(*pid);
  if (!process) {
    return tl::unexpected{process.error()};
  }
  FoundQemu qemu;
  qemu.process = std::make_shared<const Process>(std::move(*process));
  auto line = read_command_line(*pid);
  if (!line) {
    return tl::unexpected{line.error()};
  }
  qemu.command_line = std::move(*line);
  if (!params.has("qmp") && is_still_starting(qemu)) {
    return fail(
        ErrorKind::busy, "qemu",
        fmt::format("QEMU (pid {}) is just starting and has not made its monitors yet; try again in a "
                    "moment",
                    *pid));
  }
  find_monitors(params, qemu);
  if (!qemu.process->alive()) {
    return fail(ErrorKind::vm_gone, "qemu", fmt::format("QEMU (pid {}) has ended", *pid));
  }
  return qemu;
}

} // namespace vmemfs::qemu
