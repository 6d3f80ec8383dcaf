// SPDX-License-Identifier: MIT
#include "drivers/kvm/api/vmm_api.h"

#include "core/text.h"
#include "util/fd_wait.h"
#include "util/unique_fd.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <fmt/format.h>
#include <nlohmann/json.hpp>
#include <optional>
#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <utility>

namespace vmemfs::kvm {
namespace {

using Clock = std::chrono::steady_clock;
constexpr std::string_view kOrigin = "kvm";

tl::unexpected<Error> cannot_connect(int error, const std::string& socket) {
  return fail_errno(error, kOrigin, fmt::format("cannot connect to the API socket {}", printable(socket)));
}

tl::unexpected<Error> no_answer(const std::string& socket) {
  return fail(
      ErrorKind::timed_out, kOrigin,
      fmt::format("no answer within {} s on the API socket {}", VmmApi::kLimit.count(), printable(socket)));
}

Result<UniqueFd> connect_to(const std::string& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.empty() || path.size() >= sizeof(address.sun_path)) {
    return fail(ErrorKind::invalid, kOrigin,
                fmt::format("'{}' is not a path of a socket: it has {} characters of at most {}; use a link",
                            printable(path), path.size(), sizeof(address.sun_path) - 1));
  }
  path.copy(address.sun_path, path.size());
  UniqueFd socket{::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0)};
  if (!socket) {
    return fail_errno(errno, kOrigin, "cannot create a socket");
  }
  if (::connect(socket.get(), reinterpret_cast<const sockaddr*>(&address), sizeof(address)) != 0) {
    return cannot_connect(errno, path);
  }
  return socket;
}

/// The process that listens is the VM's: a path can lead anywhere.
Result<void> check_owner(int socket, const std::string& path, pid_t pid) {
  ucred peer{};
  socklen_t size = sizeof(peer);
  if (::getsockopt(socket, SOL_SOCKET, SO_PEERCRED, &peer, &size) != 0) {
    return cannot_connect(errno, path);
  }
  if (peer.pid != pid) {
    return fail(ErrorKind::permission, kOrigin,
                fmt::format("process {} listens on the API socket {}, not process {} of the VM", peer.pid,
                            printable(path), pid));
  }
  return {};
}

Result<void> send_all(int socket, std::string_view bytes, const std::string& path, Clock::time_point until) {
  while (!bytes.empty()) {
    const auto ready = wait_for_fd(socket, POLLOUT, until);
    if (!ready || !*ready) {
      return ready ? no_answer(path) : tl::unexpected{ready.error()};
    }
    const ssize_t sent = ::send(socket, bytes.data(), bytes.size(), MSG_NOSIGNAL);
    if (sent < 0 && errno != EAGAIN && errno != EINTR) {
      return cannot_connect(errno, path);
    }
    bytes.remove_prefix(static_cast<std::size_t>(std::max<ssize_t>(sent, 0)));
  }
  return {};
}

Result<HttpReply> receive(int socket, const std::string& path, Clock::time_point until) {
  std::string bytes;
  std::array<char, 4096> chunk;
  for (;;) {
    const auto ready = wait_for_fd(socket, POLLIN, until);
    if (!ready || !*ready) {
      return ready ? no_answer(path) : tl::unexpected{ready.error()};
    }
    const ssize_t got = ::recv(socket, chunk.data(), chunk.size(), 0);
    if (got < 0 && (errno == EAGAIN || errno == EINTR)) {
      continue;
    }
    if (got <= 0) {
      return cannot_connect(got < 0 ? errno : ECONNRESET, path);
    }
    bytes.append(chunk.data(), static_cast<std::size_t>(got));
    auto reply = parse_http_reply(bytes);
    if (!reply) {
      return tl::unexpected{std::move(reply.error())};
    }
    if (*reply) {
      return std::move(**reply);
    }
  }
}

std::string text_member(const HttpReply& reply, const char* name) {
  const auto object = nlohmann::json::parse(reply.body, nullptr, false);
  const auto member = object.is_object() ? object.find(name) : object.end();
  return object.is_object() && member != object.end() && member->is_string() ? member->get<std::string>()
                                                                             : "";
}

} // namespace

Result<HttpReply> VmmApi::call(std::string_view method, std::string_view path, std::string_view body) const {
  const auto until = Clock::now() + kLimit;
  const auto socket = connect_to(socket_);
  if (!socket) {
    return tl::unexpected{socket.error()};
  }
  const std::string request = fmt::format("{} {} HTTP/1.1\r\nHost: localhost\r\nAccept: application/json\r\n"
                                          "Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{}",
                                          method, path, body.size(), body);
  return check_owner(socket->get(), socket_, pid_)
      .and_then([&] { return send_all(socket->get(), request, socket_, until); })
      .and_then([&] { return receive(socket->get(), socket_, until); });
}

Result<VmmApi> VmmApi::open(std::string socket, pid_t pid) {
  VmmApi api{std::move(socket), pid, Kind::firecracker};
  auto reply = api.call("GET", "/");
  if (reply && text_member(*reply, "app_name") == "Firecracker") {
    return api;
  }
  api.kind_ = Kind::cloud_hypervisor;
  reply = reply.and_then([&](const HttpReply&) { return api.call("GET", "/api/v1/vmm.ping"); });
  if (reply && !text_member(*reply, "version").empty()) {
    return api;
  }
  if (!reply) {
    return tl::unexpected{std::move(reply.error())};
  }
  return fail(ErrorKind::unsupported, kOrigin,
              fmt::format("what listens on {} is neither the API of Firecracker nor that of cloud-hypervisor",
                          printable(api.socket_)));
}

std::string_view VmmApi::program() const {
  return kind_ == Kind::firecracker ? "Firecracker" : "cloud-hypervisor";
}

Result<RunStatus> VmmApi::status() const {
  const auto reply = call("GET", kind_ == Kind::firecracker ? "/" : "/api/v1/vm.info");
  if (!reply) {
    return tl::unexpected{reply.error()};
  }
  const std::string state = text_member(*reply, "state");
  if (reply->status != 200 || state.empty()) {
    return fail(ErrorKind::source_failed, kOrigin,
                fmt::format("{} does not say which state the VM is in: HTTP status {}, '{}'", program(),
                            reply->status, printable(reply->body)));
  }
  // Devices of Firecracker go on while the VM is paused.
  return RunStatus{.running = state == "Running",
                   .detail = state,
                   .may_start = state != "Running" && state != "Paused",
                   .memory_changes = true};
}

/// cloud-hypervisor refuses to pause a VM that is paused.
Result<void> VmmApi::change(std::string_view to) const {
  const bool pause = to == "Paused";
  const auto now = status();
  if (!now) {
    return tl::unexpected{now.error()};
  }
  if (now->detail == (pause ? "Paused" : "Running")) {
    return {};
  }
  const auto reply = kind_ == Kind::firecracker
                         ? call("PATCH", "/vm", fmt::format(R"({{"state":"{}"}})", to))
                         : call("PUT", pause ? "/api/v1/vm.pause" : "/api/v1/vm.resume");
  if (!reply) {
    return tl::unexpected{reply.error()};
  }
  if (reply->status != 204 && reply->status != 200) {
    return fail(ErrorKind::source_failed, kOrigin,
                fmt::format("{} refused to {} the VM: HTTP status {}, '{}'", program(),
                            pause ? "pause" : "resume", reply->status, printable(reply->body, 200)));
  }
  return {};
}

Result<void> VmmApi::pause() const { return change("Paused"); }
Result<void> VmmApi::resume() const { return change("Resumed"); }

} // namespace vmemfs::kvm
