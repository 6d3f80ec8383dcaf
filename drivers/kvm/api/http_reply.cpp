// SPDX-License-Identifier: MIT
#include "drivers/kvm/api/http_reply.h"

#include "core/text.h"

#include <algorithm>
#include <cctype>
#include <fmt/format.h>

namespace vmemfs::kvm {
namespace {

tl::unexpected<Error> no_reply(std::string_view bytes) {
  return fail(ErrorKind::source_failed, "kvm",
              fmt::format("not an answer of an HTTP server: '{}'", printable(bytes)));
}

bool same_word(std::string_view one, std::string_view other) {
  return std::ranges::equal(
      one, other, [](unsigned char a, unsigned char b) { return std::tolower(a) == std::tolower(b); });
}

std::optional<unsigned> status_of(std::string_view line) {
  constexpr std::string_view kStart = "HTTP/1.";
  if (!line.starts_with(kStart) || line.size() < kStart.size() + 5) {
    return std::nullopt;
  }
  const auto status = parse_u64(line.substr(kStart.size() + 2, 3));
  return status && *status >= 100 && *status < 600 ? std::optional{static_cast<unsigned>(*status)}
                                                   : std::nullopt;
}

/// The stated size of the body; 0 if there is none. nullopt: unknown.
std::optional<std::size_t> body_size(std::string_view headers) {
  std::size_t size = 0;
  for (const std::string_view line : split(headers, '\n')) {
    const std::string_view name = trim(line.substr(0, line.find(':')));
    const std::string_view value = line.size() > name.size() ? trim(line.substr(line.find(':') + 1)) : "";
    if (same_word(name, "transfer-encoding")) {
      return std::nullopt;
    }
    if (same_word(name, "content-length")) {
      const auto stated = parse_u64(value);
      if (!stated || *stated > kMaxHttpReply) {
        return std::nullopt;
      }
      size = *stated;
    }
  }
  return size;
}

} // namespace

Result<std::optional<HttpReply>> parse_http_reply(std::string_view bytes) {
  constexpr std::string_view kEnd = "\r\n\r\n";
  const std::size_t end = bytes.find(kEnd);
  if (end == std::string_view::npos) {
    return bytes.size() > kMaxHttpReply ? no_reply(bytes) : Result<std::optional<HttpReply>>{std::nullopt};
  }
  const std::string_view head = bytes.substr(0, end);
  const std::size_t first = std::min(head.find("\r\n"), head.size());
  const auto status = status_of(head.substr(0, first));
  const auto size = body_size(head.substr(first));
  if (!status || !size) {
    return no_reply(bytes);
  }
  const std::string_view body = bytes.substr(end + kEnd.size());
  if (body.size() < *size) {
    return std::nullopt;
  }
  return HttpReply{*status, std::string{body.substr(0, *size)}};
}

} // namespace vmemfs::kvm
