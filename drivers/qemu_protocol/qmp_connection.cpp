// SPDX-License-Identifier: MIT
#include "drivers/qemu_protocol/qmp_connection.h"

#include "core/text.h"
#include "drivers/qemu_protocol/qmp_address.h"
#include "util/fd_wait.h"
#include "util/work_limit.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstddef>
#include <cstring>
#include <fmt/format.h>
#include <nlohmann/json.hpp>
#include <poll.h>
#include <sys/socket.h>
#include <utility>

namespace vmemfs {
namespace {

using nlohmann::json;
using Clock = QmpConnection::Clock;

constexpr std::string_view kOrigin = "qmp";
constexpr std::size_t kMaxMessage = std::size_t{16} << 20;
constexpr std::size_t kReadChunk = std::size_t{64} << 10;
constexpr unsigned kMaxDepth = 64;
constexpr std::size_t kMaxValues = std::size_t{1}
                                   << 18; ///< each takes up to some 200 bytes of memory once parsed
constexpr unsigned kMaxDrainRounds = 64;  ///< a peer that never stops sending must not block the caller

/// The end of a message that QEMU prints over several lines: only its first and last line are not indented.
bool ends_with_brace_line(std::string_view lines) {
  return lines.ends_with("\n}\r") || lines.ends_with("\n}");
}

/// Size of a JSON text, well-formed or not.
struct JsonSize {
  unsigned depth = 0;     ///< maximum nesting of arrays and objects
  std::size_t values = 1; ///< upper limit of the number of values and keys
};

JsonSize json_size(std::string_view text) {
  JsonSize size;
  unsigned depth = 0;
  bool in_string = false;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (in_string) {
      i += c == '\\' ? 1 : 0;
      in_string = c != '"';
    } else if (c == '"') {
      in_string = true;
    } else if (c == ',' || c == ':') {
      ++size.values;
    } else if (c == '{' || c == '[') {
      ++size.values;
      size.depth = std::max(size.depth, ++depth);
    } else if ((c == '}' || c == ']') && depth > 0) {
      --depth;
    }
  }
  return size;
}

std::string to_json_text(const json& value) {
  return value.dump(-1, ' ', false, json::error_handler_t::replace);
}

std::string text_member(const json& object, const char* key) {
  const auto member = object.find(key);
  return member != object.end() && member->is_string() ? member->get<std::string>() : std::string{};
}

/// "7.2.22" from a greeting's QMP.version.qemu.
std::string version_of(const json& greeting) {
  const json* level = &greeting;
  for (const char* key : {"QMP", "version", "qemu"}) {
    const auto member = level->find(key);
    if (member == level->end() || !member->is_object()) {
      return "unknown";
    }
    level = &*member;
  }
  std::string version;
  for (const char* key : {"major", "minor", "micro"}) {
    const auto number = level->find(key);
    if (number == level->end() || !number->is_number_unsigned()) {
      return "unknown";
    }
    version += fmt::format("{}{}", version.empty() ? "" : ".", number->get<std::uint64_t>());
  }
  return version;
}

/// The error from QEMU's refusal of a command.
tl::unexpected<Error> refusal(const json& error, std::string_view command) {
  const std::string desc = error.is_object() ? text_member(error, "desc") : std::string{};
  const bool unknown = error.is_object() && text_member(error, "class") == "CommandNotFound";
  return fail(unknown ? ErrorKind::unsupported : ErrorKind::source_failed, kOrigin,
              fmt::format("QEMU refused the command '{}': {}", command, printable(desc, 200)));
}

tl::unexpected<Error> no_greeting(const std::string& address) {
  return fail(
      ErrorKind::busy, kOrigin,
      fmt::format("no greeting from the monitor {}: another client is connected (a monitor serves "
                  "one client at a time), QEMU hangs, or this is not a QMP socket; close the other client, "
                  "or give QEMU a second monitor for vmemfs: -qmp unix:PATH,server=on,wait=off",
                  address));
}

pid_t listening_process(int socket) {
  ucred credentials{};
  socklen_t size = sizeof(credentials);
  return ::getsockopt(socket, SOL_SOCKET, SO_PEERCRED, &credentials, &size) == 0 ? credentials.pid : 0;
}

bool is_unix_socket(int socket) {
  int family = 0;
  socklen_t size = sizeof(family);
  return ::getsockopt(socket, SOL_SOCKET, SO_DOMAIN, &family, &size) == 0 && family == AF_UNIX;
}

/// One sendmsg(), with a descriptor if pass_fd has one.
ssize_t send_some(int socket, std::string_view bytes, std::optional<int> pass_fd) {
  iovec piece{const_cast<char*>(bytes.data()), bytes.size()};
  msghdr message{};
  message.msg_iov = &piece;
  message.msg_iovlen = 1;
  alignas(cmsghdr) std::array<char, CMSG_SPACE(sizeof(int))> control{};
  if (pass_fd) {
    message.msg_control = control.data();
    message.msg_controllen = control.size();
    cmsghdr* header = CMSG_FIRSTHDR(&message);
    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_RIGHTS;
    header->cmsg_len = CMSG_LEN(sizeof(int));
    std::memcpy(CMSG_DATA(header), &*pass_fd, sizeof(int));
  }
  return ::sendmsg(socket, &message, MSG_NOSIGNAL);
}

} // namespace

Result<QmpConnection> QmpConnection::open(const std::string& address, Clock::time_point deadline,
                                          const PeerCheck& check) {
  auto socket = connect_to_monitor(address, deadline);
  if (!socket && socket.error().kind == ErrorKind::timed_out) {
    return no_greeting(address);
  }
  if (!socket) {
    return tl::unexpected{std::move(socket.error())};
  }
  const pid_t peer = listening_process(socket->get());
  QmpConnection connection{std::move(*socket), peer};
  auto done = connection.negotiate(deadline, check);
  if (!done && done.error().kind == ErrorKind::timed_out) {
    return no_greeting(address);
  }
  if (!done) {
    done.error().text += fmt::format(" (monitor {})", address);
    return tl::unexpected{std::move(done.error())};
  }
  return connection;
}

Result<void> QmpConnection::negotiate(Clock::time_point deadline, const PeerCheck& check) {
  const auto greeting = receive(deadline);
  if (!greeting) {
    return tl::unexpected{greeting.error()};
  }
  if (!greeting->contains("QMP")) {
    return break_off(ErrorKind::source_failed, "the greeting does not come from a QMP monitor");
  }
  if (auto checked = check ? check(socket_.get(), peer_pid_) : Result<void>{}; !checked) {
    broken_ = true;
    return checked;
  }
  version_ = version_of(*greeting);
  return execute("qmp_capabilities", nullptr, deadline).map([](const json&) {});
}

Result<json> QmpConnection::execute(std::string_view command, const json& arguments,
                                    Clock::time_point deadline, std::optional<int> pass_fd) {
  if (broken_) {
    return fail(ErrorKind::source_failed, kOrigin, "the connection to the monitor is broken");
  }
  if (pass_fd && !is_unix_socket(socket_.get())) {
    return fail(ErrorKind::unsupported, kOrigin,
                "no descriptor can be passed to QEMU by a monitor on TCP; give QEMU a UNIX socket: -qmp "
                "unix:PATH,server=on,wait=off");
  }
  const std::uint64_t id = next_id_++;
  json message{{"execute", command}, {"id", id}};
  if (!arguments.is_null()) {
    message["arguments"] = arguments;
  }
  if (auto sent = send(to_json_text(message) + "\n", deadline, pass_fd); !sent) {
    return tl::unexpected{std::move(sent.error())};
  }
  auto answer = answer_to(id, command, deadline);
  // Events that came together with the answer must not wait for the next bytes from the socket.
  static_cast<void>(take_buffered_events());
  return answer;
}

Result<std::string> QmpConnection::human(std::string_view command_line, Clock::time_point deadline) {
  const auto answer = execute("human-monitor-command", json{{"command-line", command_line}}, deadline);
  if (!answer) {
    return tl::unexpected{answer.error()};
  }
  if (!answer->is_string()) {
    return break_off(ErrorKind::source_failed, "QEMU answered a human monitor command without text");
  }
  return answer->get<std::string>();
}

Result<void> QmpConnection::drain_events() {
  for (unsigned round = 0; round < kMaxDrainRounds; ++round) {
    if (auto taken = take_buffered_events(); !taken) {
      return taken;
    }
    const auto more = fill();
    if (!more) {
      return tl::unexpected{more.error()};
    }
    if (!*more) {
      break;
    }
  }
  return {};
}

Result<void> QmpConnection::take_buffered_events() {
  while (const auto text = take_message()) {
    const auto message = parse(*text);
    if (!message) {
      return tl::unexpected{message.error()};
    }
    deliver(*message); // a message that is not an event is the late answer to a command that timed out
  }
  return {};
}

Result<void> QmpConnection::send(std::string_view line, Clock::time_point deadline,
                                 std::optional<int> pass_fd) {
  while (!line.empty()) {
    const ssize_t sent = send_some(socket_.get(), line, pass_fd);
    if (sent >= 0) {
      line.remove_prefix(static_cast<std::size_t>(sent));
      pass_fd.reset(); // was sent with the first byte
      continue;
    }
    if (errno == EPIPE || errno == ECONNRESET) {
      return break_off(ErrorKind::source_failed, "QEMU closed the monitor");
    }
    if (errno != EAGAIN && errno != EINTR) {
      broken_ = true;
      return fail_errno(errno, kOrigin, "cannot send to the monitor");
    }
    const auto ready = wait_for_fd(socket_.get(), POLLOUT, deadline);
    if (!ready || !*ready) {
      return break_off(ErrorKind::timed_out, "QEMU did not accept a command within the time limit");
    }
  }
  return {};
}

Result<json> QmpConnection::answer_to(std::uint64_t id, std::string_view command,
                                      Clock::time_point deadline) {
  for (;;) {
    auto message = receive(deadline);
    if (!message && message.error().kind == ErrorKind::timed_out) {
      return fail(ErrorKind::timed_out, kOrigin,
                  fmt::format("QEMU did not answer the command '{}' within the time limit", command));
    }
    if (!message) {
      return message;
    }
    const auto answer_id = message->find("id");
    if (answer_id != message->end() && answer_id->is_number_unsigned() && *answer_id < id) {
      continue; // the late answer to a command that timed out
    }
    if (answer_id == message->end() || *answer_id != id) {
      return break_off(ErrorKind::source_failed, "the monitor sent an answer to an unknown command");
    }
    if (const auto error = message->find("error"); error != message->end()) {
      return refusal(*error, command);
    }
    const auto value = message->find("return");
    if (value == message->end()) {
      return break_off(ErrorKind::source_failed, "the monitor sent an answer without a value");
    }
    return std::move(*value);
  }
}

/// The next message that is not an event.
Result<json> QmpConnection::receive(Clock::time_point deadline) {
  for (;;) {
    while (const auto text = take_message()) {
      auto message = parse(*text);
      if (!message || !message->contains("event")) {
        return message;
      }
      deliver(*message);
    }
    const auto more = fill();
    if (!more) {
      return tl::unexpected{more.error()};
    }
    // Checked even while bytes keep arriving, so that a peer that never stops cannot block the caller.
    if (WorkLimit::over()) {
      return WorkLimit::exceeded(kOrigin);
    }
    if (Clock::now() >= deadline) {
      return fail(ErrorKind::timed_out, kOrigin, "the monitor sent nothing within the time limit");
    }
    if (*more) {
      continue;
    }
    if (const auto ready = wait_for_fd(socket_.get(), POLLIN, deadline); !ready) {
      return tl::unexpected{ready.error()};
    }
  }
}

/// Reads the bytes that have arrived, after take_message() has found no whole message; false if there are
/// none.
Result<bool> QmpConnection::fill() {
  buffer_.erase(0, std::exchange(consumed_, 0));
  const std::size_t before = buffer_.size();
  scanned_ = before;
  if (before > kMaxMessage) {
    return break_off(ErrorKind::source_failed, "the monitor sent an answer that is too large");
  }
  buffer_.resize(before + kReadChunk);
  ssize_t got = 0;
  do {
    got = ::recv(socket_.get(), buffer_.data() + before, kReadChunk, MSG_DONTWAIT);
  } while (got < 0 && errno == EINTR);
  const int os_errno = errno;
  buffer_.resize(before + static_cast<std::size_t>(std::max<ssize_t>(got, 0)));
  if (got < 0 && os_errno == EAGAIN) {
    return false;
  }
  if (got == 0 || (got < 0 && os_errno == ECONNRESET)) {
    return break_off(ErrorKind::source_failed, "QEMU closed the monitor");
  }
  if (got < 0) {
    broken_ = true;
    return fail_errno(os_errno, kOrigin, "cannot read from the monitor");
  }
  return true;
}

/// The next whole message without its line end; valid until the next fill().
std::optional<std::string_view> QmpConnection::take_message() {
  const std::string_view rest = std::string_view{buffer_}.substr(consumed_);
  const bool pretty = rest.starts_with("{\r\n") || rest.starts_with("{\n");
  std::size_t end = rest.find('\n', std::max(scanned_, consumed_) - consumed_);
  while (pretty && end != std::string_view::npos && !ends_with_brace_line(rest.substr(0, end))) {
    end = rest.find('\n', end + 1);
  }
  if (end == std::string_view::npos) {
    return std::nullopt;
  }
  consumed_ += end + 1;
  return rest.substr(0, end);
}

Result<json> QmpConnection::parse(std::string_view text) {
  const JsonSize size = json_size(text);
  if (size.depth > kMaxDepth) {
    return break_off(ErrorKind::source_failed, "the monitor sent JSON that is nested too deeply");
  }
  if (size.values > kMaxValues) {
    return break_off(ErrorKind::source_failed,
                     fmt::format("the monitor sent JSON of more than {} values", kMaxValues));
  }
  json message = json::parse(text, nullptr, false);
  if (!message.is_object()) {
    return break_off(ErrorKind::source_failed,
                     fmt::format("the monitor sent data that is not QMP: '{}'", printable(text)));
  }
  return message;
}

void QmpConnection::deliver(const json& message) {
  QmpEvent event{text_member(message, "event"), {}};
  if (event.name.empty() || !on_event_) {
    return;
  }
  if (const auto data = message.find("data"); data != message.end()) {
    event.data = to_json_text(*data);
  }
  on_event_(event);
}

tl::unexpected<Error> QmpConnection::break_off(ErrorKind kind, std::string text) {
  broken_ = true;
  return fail(kind, kOrigin, std::move(text));
}

} // namespace vmemfs
