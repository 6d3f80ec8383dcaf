// SPDX-License-Identifier: MIT
#include "drivers/qemu/discovery/find_qemu.h"

#include "core/text.h"
#include "drivers/qemu_protocol/gdb_socket.h"
#include "drivers/qemu_protocol/qmp_address.h"
#include "util/users/accounts.h"
#include "util/work_limit.h"

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <fmt/format.h>
#include <fmt/ranges.h>
#include <limits>
#include <optional>
#include <span>
#include <string>
#include <sys/socket.h>
#include <sys/un.h>
#include <thread>
#include <utility>
#include <vector>

namespace vmemfs::qemu {
namespace {

/// Pid of the process that listens on the socket. The kernel knows it as soon as the connection is in the
/// listen queue, so this also works while another client uses the monitor. Nothing is sent.
Result<pid_t> listener_of(const std::string& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.size() >= sizeof(address.sun_path)) {
    return fail(ErrorKind::invalid, "qemu",
                fmt::format("'{}' is longer than the path of a socket may be ({} bytes)", printable(path),
                            sizeof(address.sun_path) - 1));
  }
  path.copy(address.sun_path, path.size());
  const UniqueFd socket{::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0)};
  if (!socket) {
    return fail_errno(errno, "qemu", "cannot create a socket");
  }
  if (::connect(socket.get(), reinterpret_cast<const sockaddr*>(&address), sizeof(address)) != 0) {
    if (errno == ENOENT || errno == ECONNREFUSED) {
      return fail(ErrorKind::not_found, "qemu",
                  fmt::format("cannot connect to '{}': no process listens on it; check that the VM is "
                              "running and that QEMU was started with -qmp unix:{},server=on,wait=off",
                              path, path));
    }
    if (errno == EACCES || errno == EPERM) {
      return fail(ErrorKind::permission, "qemu",
                  fmt::format("cannot connect to '{}': Permission denied; run vmemfs as the user that QEMU "
                              "runs as, as root, or with CAP_DAC_OVERRIDE",
                              path));
    }
    return fail_errno(errno, "qemu", fmt::format("cannot connect to '{}'", path));
  }
  ucred peer{};
  socklen_t size = sizeof(peer);
  if (::getsockopt(socket.get(), SOL_SOCKET, SO_PEERCRED, &peer, &size) != 0) {
    return fail_errno(errno, "qemu", fmt::format("cannot determine which process listens on '{}'", path));
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
                fmt::format("process {} is not a QEMU system emulator ({})", pid, printable(*name)));
  }
  return parse_qemu_command_line(*arguments);
}

/// Whether the process calls itself a QEMU.
bool looks_like_qemu(pid_t pid) {
  const auto short_name = comm(pid); // cheap: it excludes most processes
  if (short_name && is_qemu(*short_name)) {
    return true;
  }
  const auto exe = exe_path(pid);
  return exe && is_qemu(*exe);
}

struct NamedQemu {
  pid_t pid;
  std::optional<uid_t> owner;
};

/// "4711 (uid 1000), 4712 (uid 1001)"
std::string list_of(std::span<const NamedQemu> qemus) {
  constexpr std::size_t kMaxNamed = 8;
  std::vector<std::string> texts;
  for (const NamedQemu& qemu : qemus.first(std::min(qemus.size(), kMaxNamed))) {
    texts.push_back(
        fmt::format("{} ({})", qemu.pid, qemu.owner ? fmt::format("uid {}", *qemu.owner) : "unknown user"));
  }
  const std::string more =
      qemus.size() > kMaxNamed ? fmt::format(" and {} more", qemus.size() - kMaxNamed) : "";
  return fmt::format("{}{}", fmt::join(texts, ", "), more);
}

/// The pid of the only QEMU of these with that name; none if no one has it.
Result<std::optional<pid_t>> only_named(const std::string& name, std::span<const NamedQemu> candidates) {
  std::vector<NamedQemu> found;
  for (const NamedQemu& candidate : candidates) {
    if (WorkLimit::over()) {
      return WorkLimit::exceeded("qemu");
    }
    const auto line = read_command_line(candidate.pid);
    if (line && line->name == name) {
      found.push_back(candidate);
    }
  }
  if (found.size() > 1) {
    return fail(ErrorKind::invalid, "qemu",
                fmt::format("several QEMUs have -name {}: pids {}; use pid= instead", printable(name),
                            list_of(found)));
  }
  return found.empty() ? std::optional<pid_t>{} : std::optional{found.front().pid};
}

/// The pid of the only running QEMU with that name. Anybody can give a process any name, so those of root and
/// of the own user are preferred, and looked through first.
Result<pid_t> pid_by_name(const std::string& name) {
  std::vector<NamedQemu> trusted;
  std::vector<NamedQemu> others;
  for (const pid_t pid : list_pids()) {
    if (!looks_like_qemu(pid)) {
      continue;
    }
    const auto owner = process_owner(pid);
    const bool is_trusted = owner && is_own_or_root(*owner);
    (is_trusted ? trusted : others).push_back({pid, owner ? std::optional{*owner} : std::nullopt});
  }
  for (const auto& candidates : {trusted, others}) {
    const auto pid = only_named(name, candidates);
    if (!pid) {
      return tl::unexpected{pid.error()};
    }
    if (*pid) {
      return **pid;
    }
  }
  return fail(ErrorKind::not_found, "qemu",
              fmt::format("no running QEMU has -name {}; use pid= or qmp= instead", printable(name)));
}

/// The pid that the parameters refer to; nullopt if none is given. All must refer to the same process.
Result<pid_t> the_pid(const Params& params) {
  std::vector<std::pair<std::string_view, pid_t>> pids;
  if (params.has("pid")) {
    pids.emplace_back("pid", static_cast<pid_t>(params.number("pid"))); // checked by its ParamSpec
  }
  if (params.has("name")) {
    auto pid = pid_by_name(params.text("name"));
    if (!pid) {
      return pid;
    }
    pids.emplace_back("name", *pid);
  }
  if (params.has("qmp")) {
    if (auto refused = refuse_gdb_socket(params.text("qmp"), "qemu"); !refused) {
      return tl::unexpected{std::move(refused.error())};
    }
    auto pid = listener_of(params.text("qmp"));
    if (!pid && pids.empty()) {
      return pid;
    }
    if (pid && *pid > 0) { // 0: a process of another pid namespace
      pids.emplace_back("qmp", *pid);
    }
  }
  if (pids.empty()) {
    return fail(ErrorKind::invalid, "qemu", "one of the parameters qmp, pid and name is required");
  }
  for (const auto& [key, pid] : pids) {
    if (pid != pids.front().second) {
      return fail(ErrorKind::invalid, "qemu",
                  fmt::format("{} and {} refer to different processes ({} and {})", pids.front().first, key,
                              pids.front().second, pid));
    }
  }
  return pids.front().second;
}

/// Why QEMU has no monitor that could be looked for.
std::string no_socket(const QemuCommandLine& line) {
  constexpr std::string_view kSocket = "-qmp unix:PATH,server=on,wait=off";
  if (!line.unusable_qmp.empty()) {
    return fmt::format("its QMP monitor {}; give QEMU one more: {}",
                       fmt::join(line.unusable_qmp, ", and another one "), kSocket);
  }
  if (line.reads_config) {
    return fmt::format("QEMU's command line has no QMP socket, and what the file of -readconfig has is not "
                       "read; start it with {}",
                       kSocket);
  }
  return fmt::format("QEMU was started without a QMP socket; start it with {}", kSocket);
}

/// Why a monitor of the command line is not used, or its address.
Result<std::string> usable_monitor(const MonitorSocket& socket, pid_t pid) {
  if (!socket.libvirts) {
    return find_monitor(socket, pid);
  }
  return fail(ErrorKind::unsupported, "qemu",
              "its monitor belongs to libvirt; use the driver libvirt, which has pause and resume while "
              "the libvirt daemon runs, and registers with passthrough=on, or give the domain one more QMP "
              "socket");
}

void find_monitors(const Params& params, FoundQemu& qemu) {
  if (params.has("qmp")) {
    qemu.monitor_paths.push_back(path_address(params.text("qmp")));
    qemu.named_monitor = true;
    return;
  }
  const QemuCommandLine& line = qemu.command_line;
  if (line.qmp.empty() || !line.unusable_qmp.empty()) {
    qemu.no_monitor = no_socket(line);
  }
  for (const MonitorSocket& socket : line.qmp) {
    auto address = usable_monitor(socket, qemu.process->pid());
    if (address) {
      qemu.monitor_paths.push_back(std::move(*address));
    } else {
      qemu.no_monitor += (qemu.no_monitor.empty() ? "" : "; ") + address.error().text;
    }
  }
}

/// QEMU creates its monitors shortly after its memory. An instance that attached in between would never have
/// a monitor. Only the sockets are checked, without connecting: QEMU may be waiting for the user to connect
/// to one.
bool lacks_its_monitors(const FoundQemu& qemu) {
  const auto lacking = [&](const MonitorSocket& socket) {
    const auto address = find_monitor(socket, qemu.process->pid());
    return !address && address.error().kind == ErrorKind::not_found;
  };
  return !qemu.command_line.qmp.empty() && std::ranges::all_of(qemu.command_line.qmp, lacking);
}

/// Waits a short time for a QEMU that is starting; true if it is still starting afterwards.
bool is_still_starting(const FoundQemu& qemu) {
  constexpr std::chrono::seconds kStarting{5}; // after that a missing monitor was moved or removed
  constexpr std::chrono::milliseconds kPatience{500};
  constexpr std::chrono::milliseconds kPollInterval{10};
  const auto limit = std::chrono::steady_clock::now() + kPatience;
  while (!WorkLimit::over() && qemu.process->age() < kStarting && qemu.process->alive() &&
         lacks_its_monitors(qemu)) {
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
    return fail(ErrorKind::busy, "qemu",
                fmt::format("QEMU (pid {}) is starting and has not created its monitors yet; try again in a "
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
