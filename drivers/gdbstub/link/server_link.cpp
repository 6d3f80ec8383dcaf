// SPDX-License-Identifier: MIT
#include "drivers/gdbstub/link/server_link.h"

#include "core/text.h"
#include "util/fd_wait.h"
#include "util/work_limit.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <fmt/format.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <utility>

namespace vmemfs::gdbstub {
namespace {

constexpr std::string_view kOrigin = "gdbstub";
constexpr std::string_view kMarker = "qC";
constexpr std::string_view kMarkerReply = "QC";
constexpr unsigned kMaxResends = 3;
constexpr unsigned kMaxRounds = 3;
constexpr unsigned kMaxFills = 8;
constexpr std::size_t kReceiveBytes = std::size_t{64} << 10;

bool is_hex(std::string_view text) {
  return text.find_first_not_of("0123456789abcdefABCDEF") == std::string_view::npos;
}

/// "O" and hex: what the target printed.
bool is_output(std::string_view packet) {
  return packet.size() > 1 && packet.front() == 'O' && is_hex(packet.substr(1));
}

/// Most likely the address is that of something else.
std::string not_a_packet(std::string_view received) {
  if (received.starts_with("{\"QMP\"")) {
    return "this is not a GDB server but a QMP socket of QEMU; give the address of QEMU's -gdb, or this one "
           "to the driver qemu as qmp=";
  }
  return fmt::format(
      "this is not a GDB server, as it sent data that is not a packet ('{}'); check the address",
      printable(received));
}

} // namespace

bool is_stop_report(std::string_view packet) {
  constexpr std::string_view kKinds = "TSWX";
  return packet.size() >= 3 && kKinds.find(packet.front()) != std::string_view::npos &&
         is_hex(packet.substr(1, 2));
}

bool is_error_reply(std::string_view packet) {
  return packet.starts_with("E.") ||
         (packet.size() == 3 && packet.front() == 'E' && is_hex(packet.substr(1)));
}

tl::unexpected<Error> ServerLink::break_off(std::string_view why) {
  if (why_broken_.empty()) {
    why_broken_ = why;
  }
  return fail(ErrorKind::source_failed, kOrigin,
              fmt::format("the connection to the server has ended: {}; attach the VM again", why_broken_));
}

tl::unexpected<Error> ServerLink::late() {
  out_of_step_ = true;
  std::string text = fmt::format("the server did not answer within {} ms", timeout_.count());
  if (!manners_.has_marker) { // a later reply could be taken for another one
    why_broken_ = text;
  }
  text += "; check that no other debugger uses it, or give a larger timeout=";
  return fail(ErrorKind::timed_out, kOrigin, std::move(text));
}

Result<void> ServerLink::send(std::string_view bytes) {
  for (const auto deadline = Clock::now() + timeout_;;) {
    const auto left = send_now(bytes);
    if (!left || left->empty()) {
      return left.map([](std::string_view) {});
    }
    bytes = *left;
    // The server may wait until somebody takes its replies.
    if (auto filled = fill(); !filled) {
      return tl::unexpected{std::move(filled.error())};
    }
    const auto ready = wait_for_fd(socket_.get(), POLLOUT | POLLIN, deadline);
    if (!ready || !*ready || Clock::now() >= deadline) {
      return break_off("it takes no requests"); // a part of one may have been sent
    }
  }
}

/// What of `bytes` does not fit in the socket's buffer.
Result<std::string_view> ServerLink::send_now(std::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t sent = ::send(socket_.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
    if (sent > 0) {
      bytes.remove_prefix(static_cast<std::size_t>(sent));
    } else if (errno == EAGAIN) {
      break;
    } else if (errno != EINTR) {
      const int os_errno = errno;
      return break_off(fail_errno(os_errno, kOrigin, "cannot send").value().text);
    }
  }
  return bytes;
}

/// Never waits, as it is not only called by who waits for a reply anyway.
Result<void> ServerLink::answer(std::string_view bytes) {
  const auto left = send_now(bytes);
  if (left && !left->empty()) {
    return break_off("it sends, but takes nothing");
  }
  return left.map([](std::string_view) {});
}

Result<void> ServerLink::send_packets(std::span<const std::string> requests) {
  last_sent_.clear();
  for (const std::string& request : requests) {
    last_sent_ += gdb_packet(request);
  }
  return send(last_sent_);
}

Result<void> ServerLink::resend_last() {
  if (!manners_.acknowledges || ++resends_ > kMaxResends) {
    return break_off("it rejects what is sent to it");
  }
  return answer(last_sent_);
}

Result<bool> ServerLink::fill() {
  std::array<char, kReceiveBytes> bytes; // NOLINT(cppcoreguidelines-pro-type-member-init): filled by recv
  const ssize_t got = ::recv(socket_.get(), bytes.data(), bytes.size(), MSG_DONTWAIT);
  if (got > 0) {
    reader_.feed({bytes.data(), static_cast<std::size_t>(got)});
    // Servers that send "+" and the packet apart would wait 40 ms for the kernel's acknowledgement of "+". It
    // has to be asked for each time, and fails for a UNIX socket.
    const int on = 1;
    static_cast<void>(::setsockopt(socket_.get(), IPPROTO_TCP, TCP_QUICKACK, &on, sizeof(on)));
    return true;
  }
  if (got == 0) {
    return break_off("the server closed it");
  }
  if (errno == EAGAIN || errno == EINTR) {
    return false;
  }
  const int os_errno = errno;
  return break_off(fail_errno(os_errno, kOrigin, "cannot receive").value().text);
}

Result<std::optional<std::string_view>> ServerLink::take_packet() {
  for (;;) {
    const GdbInput input = reader_.take();
    Result<void> done;
    switch (input.kind) {
    case GdbInput::Kind::incomplete: return std::optional<std::string_view>{};
    case GdbInput::Kind::notification: break;
    case GdbInput::Kind::resend: done = resend_last(); break;
    case GdbInput::Kind::too_large: return break_off("the server sent a packet that is too large");
    case GdbInput::Kind::malformed: return break_off(not_a_packet(input.text));
    case GdbInput::Kind::damaged:
      if (!manners_.acknowledges || ++resends_ > kMaxResends) {
        return break_off("the server sent a packet with a wrong checksum");
      }
      done = answer("-");
      break;
    case GdbInput::Kind::packet:
      resends_ = 0;
      done = manners_.acknowledges ? answer("+") : Result<void>{};
      if (done && !is_output(input.text)) {
        return std::optional{input.text};
      }
      break;
    }
    if (!done) {
      return tl::unexpected{std::move(done.error())};
    }
  }
}

Result<std::optional<std::string_view>> ServerLink::receive(Clock::time_point deadline) {
  for (;;) {
    auto packet = take_packet();
    if (!packet || *packet) {
      return packet;
    }
    const auto filled = fill();
    if (!filled) {
      return tl::unexpected{filled.error()};
    }
    const auto ready = *filled ? Result<bool>{true} : wait_for_fd(socket_.get(), POLLIN, deadline);
    // Checked even if there is always something to read, but never a reply.
    if (!ready || !*ready || Clock::now() >= deadline || WorkLimit::over()) {
      return std::optional<std::string_view>{};
    }
  }
}

Result<void> ServerLink::get_in_step() {
  if (broken()) {
    return break_off(why_broken_);
  }
  if (!out_of_step_) {
    return {};
  }
  if (!manners_.has_marker) {
    return break_off("its replies no longer fit the requests");
  }
  const std::string marker{kMarker};
  if (auto sent = send_packets({&marker, 1}); !sent) {
    return sent;
  }
  ++markers_;
  for (const auto deadline = Clock::now() + timeout_; markers_ > 0;) {
    const auto packet = receive(deadline);
    if (!packet) {
      return tl::unexpected{packet.error()};
    }
    if (!*packet) {
      return late();
    }
    if ((*packet)->starts_with(kMarkerReply)) {
      --markers_;
    } else if (is_stop_report(**packet)) {
      stop_ = **packet;
      if (manners_.loses_request_when_stopped) {
        return break_off("somebody else resumes the target all the time");
      }
    }
  }
  out_of_step_ = false;
  return {};
}

Result<ServerLink::Round> ServerLink::try_all(const std::vector<std::string>& requests, const TakeReply& take,
                                              const More& more) {
  const bool is_far = round_trip_ >= kFar && round_trip_ != Clock::duration::max();
  const std::size_t window = manners_.acknowledges ? 1 : is_far ? kMaxUnderWayFar : kMaxUnderWay;
  std::size_t sent = 0;
  for (std::size_t done = 0; done < requests.size();) {
    const bool has_room = sent - done <= window / 2;
    if (has_room && sent == requests.size() && more) {
      more();
    }
    if (has_room && sent < requests.size()) {
      const std::size_t next = std::min(requests.size() - sent, window - (sent - done));
      if (auto now = send_packets(std::span{requests}.subspan(sent, next)); !now) {
        return tl::unexpected{std::move(now.error())};
      }
      sent += next;
    }
    const auto packet = receive(Clock::now() + timeout_);
    if (!packet) {
      return tl::unexpected{packet.error()};
    }
    if (!*packet) {
      return late();
    }
    if (is_stop_report(**packet) && requests[done] != "?") {
      stop_ = **packet;
      if (manners_.loses_request_when_stopped) {
        ++lost_requests_;
        out_of_step_ = true;
        return Round::again;
      }
      continue;
    }
    if ((*packet)->starts_with(kMarkerReply) && requests[done] != kMarker) {
      out_of_step_ = true;
      return Round::again;
    }
    take(done++, **packet);
  }
  return Round::done;
}

Result<void> ServerLink::ask_all(const std::vector<std::string>& requests, const TakeReply& take,
                                 const More& more) {
  for (unsigned round = 0; round < kMaxRounds; ++round) {
    // What has come before a request cannot be a reply to it.
    const auto stop = poll_stop();
    if (!stop) {
      return tl::unexpected{stop.error()};
    }
    if (*stop) {
      stop_ = *stop;
    }
    if (auto in_step = get_in_step(); !in_step) {
      return in_step;
    }
    const auto tried = try_all(requests, take, more);
    if (!tried) {
      return tl::unexpected{tried.error()};
    }
    if (*tried == Round::done) {
      return {};
    }
  }
  return fail(ErrorKind::busy, kOrigin,
              "the target is resumed by somebody else while it is asked; have one debugger control it");
}

Result<std::string> ServerLink::ask(std::string_view request) {
  std::string reply;
  const auto begin = Clock::now();
  if (auto asked = ask_all({std::string{request}}, [&](std::size_t, std::string_view raw) { reply = raw; });
      !asked) {
    return tl::unexpected{std::move(asked.error())};
  }
  round_trip_ = std::min(round_trip_, Clock::now() - begin);
  auto expanded = expand_gdb_payload(reply, kMaxPacket);
  if (!expanded) {
    return break_off(fmt::format("the reply to '{}' is malformed", printable(request)));
  }
  return std::move(*expanded);
}

Result<void> ServerLink::command(std::string_view request) {
  const std::string text{request};
  return get_in_step().and_then([&] { return send_packets({&text, 1}); });
}

/// A packet that came when no reply was expected.
void ServerLink::take_unasked(std::string_view packet) {
  if (is_stop_report(packet) || (is_error_reply(packet) && !out_of_step_)) {
    stop_ = packet; // an error: the server refused to resume its target
  } else if (packet.starts_with(kMarkerReply) && markers_ > 0) {
    --markers_;
  } else {
    out_of_step_ = true; // a late reply, or one to nothing
  }
}

Result<std::optional<std::string>> ServerLink::poll_stop() {
  if (broken()) {
    return break_off(why_broken_);
  }
  for (unsigned fills = 0;;) {
    const auto packet = take_packet();
    if (!packet) {
      return tl::unexpected{packet.error()};
    }
    if (*packet) {
      take_unasked(**packet);
      continue;
    }
    const auto filled = fill();
    if (!filled) {
      return tl::unexpected{filled.error()};
    }
    if (*filled && ++fills == kMaxFills) { // it may send forever
      out_of_step_ = true;
    }
    if (!*filled || fills == kMaxFills) {
      return std::exchange(stop_, std::nullopt);
    }
  }
}

Result<std::optional<std::string>> ServerLink::wait_for_stop() {
  const auto deadline = Clock::now() + timeout_;
  while (!stop_) {
    const auto packet = receive(deadline);
    if (!packet) {
      return tl::unexpected{packet.error()};
    }
    if (!*packet) {
      return std::optional<std::string>{};
    }
    take_unasked(**packet);
  }
  return std::exchange(stop_, std::nullopt);
}

} // namespace vmemfs::gdbstub
