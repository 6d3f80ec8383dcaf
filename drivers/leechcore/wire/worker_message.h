// SPDX-License-Identifier: MIT
// Messages between the daemon and a worker process: a request, and one reply to it.
//
// Each is one packet of a SOCK_SEQPACKET socket, a structure of fixed size in the host's byte order, as both
// ends are programs of one build. Texts and elements lie in the SharedArea. Pure functions, thread-safe.
#pragma once

#include "core/error.h"

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

namespace vmemfs::leechcore {

enum class Operation : std::uint32_t {
  open = 1,  ///< load the library and open the device, once; the text is an OpenRequest
  read = 2,  ///< LcReadScatter of `count` elements
  write = 3, ///< LcWriteScatter of `count` elements
};

struct Request {
  Operation operation;
  std::uint32_t count;     ///< of elements
  std::uint64_t sequence;  ///< the reply has the same
  std::uint32_t text_size; ///< in SharedArea::text, in bytes
};

struct Reply {
  bool ok; ///< if not, the text is the reason
  std::uint64_t sequence;
  std::uint32_t text_size; ///< in SharedArea::text, in bytes; of a device that was opened: its memory map
  // Of a device that was opened.
  bool is_volatile;
  bool is_writable;
  std::uint64_t max_address;            ///< the highest address, as LeechCore reports it
  std::array<std::uint32_t, 3> version; ///< of LeechCore
};

/// What is to be opened.
struct OpenRequest {
  std::string library; ///< a file or a directory; empty: the dynamic linker finds it
  std::string device;
  std::string remote;
  std::string map; ///< LeechCore's text of a memory map; empty: the device's own

  friend bool operator==(const OpenRequest&, const OpenRequest&) = default;
};

inline constexpr std::size_t kMessageSize = 48;
using Message = std::array<std::byte, kMessageSize>;

[[nodiscard]] Message to_message(const Request& request);
[[nodiscard]] Message to_message(const Reply& reply);

/// invalid: the packet is not a request of this version, or its numbers are out of range.
[[nodiscard]] Result<Request> parse_request(std::span<const std::byte> packet);
/// The same, and invalid if it is the reply to another request.
[[nodiscard]] Result<Reply> parse_reply(std::span<const std::byte> packet, std::uint64_t sequence);

/// invalid: a string contains a NUL byte, or they are too long together.
[[nodiscard]] Result<std::string> to_text(const OpenRequest& request);
[[nodiscard]] Result<OpenRequest> parse_open_request(std::string_view text);

} // namespace vmemfs::leechcore
