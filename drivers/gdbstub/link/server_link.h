// SPDX-License-Identifier: MIT
// Connection to a server of GDB's remote protocol: requests, replies, and stop reports.
//
// Replies have no numbers, so they belong to requests by their order alone. If that order is in doubt (a
// reply was late, or the server lost a request), nothing is taken for a reply any more until the link is in
// step again: it sends qC, whose reply begins with "QC" as no other does, and drops all that comes before.
//
// Everything from the server is limited: a packet in size, each reply in time (`timeout` since the last one),
// and what cannot be a stream of packets ends the link for good.
#pragma once

#include "core/error.h"
#include "drivers/qemu_protocol/gdb_packets.h"
#include "util/unique_fd.h"

#include <chrono>
#include <cstddef>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace vmemfs::gdbstub {

/// How the server takes requests.
struct LinkManners {
  bool acknowledges = true; ///< each packet is confirmed, both ways; else many requests may be under way
  bool has_marker = false;  ///< it answers qC
  /// The first byte that it gets while its target runs stops the target and is lost, and so its request:
  /// QEMU.
  bool loses_request_when_stopped = false;
};

/// Not thread-safe.
class ServerLink {
public:
  using Clock = std::chrono::steady_clock;
  /// Of any packet of the server.
  static constexpr std::size_t kMaxPacket = std::size_t{256} << 10;
  /// Requests under way, if the server does not wait for acknowledgements: their replies fit in the buffers
  /// of a socket, so that a server never waits for a client that is stopped. One that is as far away as kFar
  /// has larger buffers, and would wait for requests.
  static constexpr std::size_t kMaxUnderWay = 32;
  static constexpr std::size_t kMaxUnderWayFar = 256;
  static constexpr std::chrono::microseconds kFar{400};

  ServerLink(UniqueFd socket, std::chrono::milliseconds timeout)
      : socket_{std::move(socket)}, timeout_{timeout} {}

  void set_manners(const LinkManners& manners) { manners_ = manners; }
  [[nodiscard]] const LinkManners& manners() const { return manners_; }

  /// The reply to one request, expanded. timed_out: none within the timeout. source_failed: the link is
  /// broken, see broken().
  [[nodiscard]] Result<std::string> ask(std::string_view request);

  /// Called with the index of a request and its reply as sent, in order; once for each request, or twice if
  /// the requests had to be sent again.
  using TakeReply = std::function<void(std::size_t, std::string_view)>;
  /// Called when all requests were sent and there is room for more: may add some at the end of them.
  using More = std::function<void()>;
  [[nodiscard]] Result<void> ask_all(const std::vector<std::string>& requests, const TakeReply& take,
                                     const More& more = {});

  /// The shortest time that a reply of ask() has taken.
  [[nodiscard]] Clock::duration round_trip() const { return round_trip_; }

  /// A request without a reply, such as c.
  [[nodiscard]] Result<void> command(std::string_view request);
  /// The last request of a client that has given up, which the server may take much later, if at all: when it
  /// has no other client any more.
  void leave_behind(std::string_view request) { static_cast<void>(send_now(gdb_packet(request))); }
  /// The byte that stops a target which runs.
  [[nodiscard]] Result<void> interrupt() { return send("\x03"); }
  /// The next stop report; nullopt: none within the timeout.
  [[nodiscard]] Result<std::optional<std::string>> wait_for_stop();
  /// The last stop report that has come since the last call, without waiting; nullopt: none. An error is one
  /// too, if nothing was asked: the server refused to resume its target.
  [[nodiscard]] Result<std::optional<std::string>> poll_stop();

  /// Requests that a running target has stopped for and lost, see LinkManners; each was sent again.
  [[nodiscard]] unsigned lost_requests() const { return lost_requests_; }

  /// Ends the connection; nothing may be asked after it.
  void close() { socket_.reset(); }
  /// It cannot be used any more: closed, reset, or out of the protocol.
  [[nodiscard]] bool broken() const { return !why_broken_.empty(); }
  [[nodiscard]] const std::string& why_broken() const { return why_broken_; }

private:
  enum class Round : unsigned char { done, again };

  [[nodiscard]] Result<Round> try_all(const std::vector<std::string>& requests, const TakeReply& take,
                                      const More& more);
  [[nodiscard]] Result<void> get_in_step();
  /// A packet within the time limit, valid until the next use of the link; nullopt: none.
  [[nodiscard]] Result<std::optional<std::string_view>> receive(Clock::time_point deadline);
  [[nodiscard]] Result<std::optional<std::string_view>> take_packet();
  void take_unasked(std::string_view packet);
  /// Adds what has arrived to the reader; false: nothing has.
  [[nodiscard]] Result<bool> fill();
  [[nodiscard]] Result<void> send(std::string_view bytes);
  [[nodiscard]] Result<std::string_view> send_now(std::string_view bytes);
  [[nodiscard]] Result<void> answer(std::string_view bytes);
  [[nodiscard]] Result<void> send_packets(std::span<const std::string> requests);
  [[nodiscard]] Result<void> resend_last();
  [[nodiscard]] tl::unexpected<Error> break_off(std::string_view why);
  [[nodiscard]] tl::unexpected<Error> late();

  UniqueFd socket_;
  std::chrono::milliseconds timeout_;
  LinkManners manners_;
  GdbPacketReader reader_{kMaxPacket};
  std::string last_sent_;           ///< the packets of the last send, for a server that asks for them again
  std::optional<std::string> stop_; ///< the last stop report that nobody has taken
  unsigned resends_ = 0;            ///< since the last valid packet
  unsigned markers_ = 0;            ///< replies to qC that are outstanding
  unsigned lost_requests_ = 0;
  bool out_of_step_ = false;
  Clock::duration round_trip_ = Clock::duration::max();
  std::string why_broken_; ///< empty: it is not
};

/// T, S: the target stopped; W, X: it ended.
[[nodiscard]] bool is_stop_report(std::string_view packet);
/// "E01", or "E." and a text.
[[nodiscard]] bool is_error_reply(std::string_view packet);

} // namespace vmemfs::gdbstub
