// SPDX-License-Identifier: MIT
// All that a server of GDB's protocol sends, from the first reply on. Each line of the input is the payload
// of a packet; one that begins with '!' is sent as it is, without the '!'.
#include "core/gpa.h"
#include "core/memory_map.h"
#include "driver/driver.h"
#include "drivers/gdbstub/link/server_link.h"
#include "drivers/gdbstub/session/greeting.h"
#include "drivers/gdbstub/session/memory_reader.h"
#include "drivers/gdbstub/target/register_plan.h"
#include "drivers/gdbstub/target/server_map.h"
#include "drivers/qemu_protocol/gdb_packets.h"
#include "fuzz/fuzz_target.h"
#include "util/unique_fd.h"

#include <algorithm>
#include <array>
#include <chrono>
#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <sys/socket.h>
#include <thread>
#include <utility>
#include <vector>

namespace {

using namespace vmemfs;
using namespace vmemfs::gdbstub;

/// The server's end of a connection, and its thread.
class ScriptedEnd {
public:
  ScriptedEnd(UniqueFd socket, std::string_view script)
      : socket_{std::move(socket)}, script_{script}, thread_{[this] { serve(); }} {}

private:
  void serve() {
    std::array<char, 4096> bytes{};
    for (ssize_t got = 1; got > 0;) {
      got = ::recv(socket_.get(), bytes.data(), bytes.size(), 0);
      for (ssize_t i = 0; i < got; ++i) {
        if (bytes[static_cast<std::size_t>(i)] == '#') {
          reply();
        }
      }
    }
  }

  void reply() {
    std::string stream;
    for (bool as_it_is = true; as_it_is && !script_.empty();) {
      const std::size_t end = std::min(script_.find('\n'), script_.size());
      const std::string_view line = script_.substr(0, end);
      as_it_is = line.starts_with('!');
      stream += as_it_is ? std::string{line.substr(1)} : gdb_packet(line);
      script_.remove_prefix(std::min(end + 1, script_.size()));
    }
    if (!stream.empty()) {
      static_cast<void>(::send(socket_.get(), stream.data(), stream.size(), MSG_NOSIGNAL));
    }
    if (script_.empty()) {
      ::shutdown(socket_.get(), SHUT_WR);
    }
  }

  const UniqueFd socket_;
  std::string_view script_;
  std::jthread thread_;
};

void read_some(ServerLink& link, const ServerFacts& facts) {
  const auto map =
      MemoryMap::build({{{Gpa{0}, Gpa{0x8000}}, RegionKind::ram, true, 0, 0}}, {"target"}).value();
  std::array<std::vector<std::byte>, 3> buffers{std::vector<std::byte>(100), std::vector<std::byte>(0x2000),
                                                std::vector<std::byte>(0x2000)};
  std::array<ReadPiece, 3> pieces{ReadPiece{Gpa{3}, buffers[0], 0, std::nullopt},
                                  ReadPiece{Gpa{0x1800}, buffers[1], 0, std::nullopt},
                                  ReadPiece{Gpa{0x7000}, buffers[2], 0, std::nullopt}};
  SingleRead read{pieces};
  read_memory(link, {facts.read_bytes, facts.binary_reads}, map, read);
  for (const ReadPiece& piece : pieces) {
    fuzz::expect(piece.done <= piece.buffer.size(), "no more is done than was asked for");
    fuzz::expect(piece.failure.has_value() == (piece.done < piece.buffer.size()),
                 "what is not complete has a reason, and only that");
  }
  fuzz::expect(pieces[2].done <= 0x1000, "nothing is read outside of the map");
}

} // namespace

FUZZ_TARGET(text) {
  std::array<int, 2> ends{};
  fuzz::expect(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends.data()) == 0,
               "a socket pair can be made");
  const ScriptedEnd server{UniqueFd{ends[0]}, text};
  ServerLink link{UniqueFd{ends[1]}, std::chrono::milliseconds{4}};
  std::optional<bool> ran;
  const auto facts = greet(link, ran);
  if (!facts) {
    return;
  }
  fuzz::expect(facts->read_bytes > 0, "a request asks for something");
  fuzz::expect(!facts->threads.empty() && vcpus_of(facts->threads).has_value(), "there are valid vCPUs");
  read_some(link, *facts);
  static_cast<void>(link.ask("g"));
  static_cast<void>(link.poll_stop());
  static_cast<void>(link.wait_for_stop());
}
