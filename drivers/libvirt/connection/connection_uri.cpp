// SPDX-License-Identifier: MIT
#include "drivers/libvirt/connection/connection_uri.h"

#include "core/text.h"

#include <algorithm>
#include <array>
#include <cctype>

namespace vmemfs::libvirt {
namespace {

/// Decodes %2f and other percent escapes.
std::string decoded(std::string_view text) {
  std::string plain;
  while (!text.empty()) {
    const auto byte = text.front() == '%' && text.size() >= 3 ? parse_hex(text.substr(1, 2)) : std::nullopt;
    plain += byte ? static_cast<char>(*byte) : text.front();
    text.remove_prefix(byte ? 3 : 1);
  }
  return plain;
}

std::string lower(std::string text) {
  std::ranges::transform(text, text.begin(),
                         [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  return text;
}

/// Cuts `text` at the first `mark` and returns what follows it.
std::string_view take_after(std::string_view& text, std::string_view mark) {
  const std::size_t at = text.find(mark);
  if (at == std::string_view::npos) {
    return {};
  }
  const std::string_view after = text.substr(at + mark.size());
  text = text.substr(0, at);
  return after;
}

std::string_view host_of(std::string_view authority) {
  if (const std::size_t at = authority.rfind('@'); at != std::string_view::npos) {
    authority.remove_prefix(at + 1);
  }
  if (authority.starts_with('[')) { // an IPv6 address
    return authority.substr(0, authority.find(']') == std::string_view::npos ? authority.size()
                                                                             : authority.find(']') + 1);
  }
  return authority.substr(0, authority.find(':'));
}

} // namespace

std::optional<ConnectionUri> parse_uri(std::string_view text) {
  const bool has_authority = text.find("://") != std::string_view::npos;
  std::string_view scheme = text;
  std::string_view rest = take_after(scheme, has_authority ? "://" : ":");
  const bool plain = std::ranges::all_of(
      scheme, [](unsigned char c) { return std::isalnum(c) != 0 || c == '+' || c == '-' || c == '.'; });
  if (scheme.empty() || scheme.size() == text.size() || !plain) {
    return std::nullopt;
  }
  ConnectionUri uri;
  uri.transport = take_after(scheme, "+");
  uri.driver = scheme;
  if (uri.driver.empty()) {
    return std::nullopt;
  }
  const std::string_view query = take_after(rest, "?");
  for (const std::string_view pair : split(query, '&')) {
    if (constexpr std::string_view kSocket = "socket="; pair.starts_with(kSocket)) {
      uri.socket = decoded(pair.substr(kSocket.size()));
    }
  }
  const std::size_t slash = rest.find('/');
  uri.path = slash == std::string_view::npos ? "" : rest.substr(slash);
  uri.host = has_authority ? host_of(rest.substr(0, slash)) : "";
  return uri;
}

// Names are compared as libvirt does: without case, after decoding; both separators of pairs count. A query
// is looked for even where libvirt would see a fragment.
bool runs_command(std::string_view uri) {
  constexpr std::array<std::string_view, 2> kPrograms{"command", "netcat"};
  std::string_view rest = uri;
  std::string query{take_after(rest, "?")};
  const std::string scheme = lower(std::string{rest.substr(0, rest.find(':'))});
  if (scheme.ends_with("+ext")) {
    return true;
  }
  std::ranges::replace(query, ';', '&');
  std::ranges::replace(query, '?', '&');
  return std::ranges::any_of(split(query, '&'), [&](std::string_view pair) {
    const std::string name = lower(decoded(pair.substr(0, pair.find('='))));
    return std::ranges::find(kPrograms, name) != kPrograms.end();
  });
}

std::string without_prompts(std::string uri) {
  const auto place = parse_uri(uri);
  if (!place || place->transport != "ssh" || uri.find("no_tty=") != std::string::npos) {
    return uri;
  }
  return uri + (uri.find('?') == std::string::npos ? '?' : '&') + "no_tty=1";
}

std::string name_of_uri(std::string_view uri) {
  constexpr std::size_t kMaxLength = 200;
  return uri.empty() ? "libvirt's default connection" : printable(uri, kMaxLength);
}

} // namespace vmemfs::libvirt
