// SPDX-License-Identifier: MIT
// Replies of an HTTP/1.1 server, as far as the API servers of VMMs send them (RFC 9112): a status, headers,
// and a body of a stated size.
//
// Pure functions, thread-safe. The server is not trusted.
#pragma once

#include "core/error.h"

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

namespace vmemfs::kvm {

struct HttpReply {
  unsigned status = 0;
  std::string body;
};

/// Of a whole reply.
inline constexpr std::size_t kMaxHttpReply = std::size_t{256} << 10U;

/// The reply that `bytes` begin with; nullopt if more have to come. source_failed: it is none, is longer than
/// kMaxHttpReply, or has a body of unknown size.
[[nodiscard]] Result<std::optional<HttpReply>> parse_http_reply(std::string_view bytes);

} // namespace vmemfs::kvm
