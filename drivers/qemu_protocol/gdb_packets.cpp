// SPDX-License-Identifier: MIT
#include "drivers/qemu_protocol/gdb_packets.h"

#include "core/text.h"

#include <algorithm>
#include <array>
#include <fmt/format.h>
#include <numeric>

namespace vmemfs {
namespace {

constexpr std::string_view kOrigin = "gdbstub";
constexpr char kEscape = '}';
constexpr char kRun = '*';

/// Sizes of loops that compilers turn into vector instructions: the packets of a guest's memory are long.
constexpr std::size_t kLanes = 64;
constexpr std::size_t kBlock = 32;

std::uint8_t checksum(std::string_view payload) {
  std::array<std::uint8_t, kLanes> sums{};
  for (; payload.size() >= kLanes; payload.remove_prefix(kLanes)) {
    for (std::size_t i = 0; i < kLanes; ++i) {
      sums[i] = static_cast<std::uint8_t>(sums[i] + static_cast<std::uint8_t>(payload[i]));
    }
  }
  unsigned sum = std::accumulate(sums.begin(), sums.end(), 0U);
  for (const char c : payload) {
    sum += static_cast<unsigned char>(c);
  }
  return static_cast<std::uint8_t>(sum);
}

std::optional<std::uint8_t> hex_digit(char c) {
  if (c >= '0' && c <= '9') {
    return static_cast<std::uint8_t>(c - '0');
  }
  if (c >= 'a' && c <= 'f') {
    return static_cast<std::uint8_t>(c - 'a' + 10);
  }
  if (c >= 'A' && c <= 'F') {
    return static_cast<std::uint8_t>(c - 'A' + 10);
  }
  return std::nullopt;
}

/// kBlock bytes; false if the text is not hex. Without branches, as those could not be predicted.
bool parse_block(const char* text, std::byte* bytes) {
  std::array<std::uint8_t, 2 * kBlock> digits; // NOLINT(cppcoreguidelines-pro-type-member-init): filled below
  std::uint8_t wrong = 0;
  for (std::size_t i = 0; i < digits.size(); ++i) {
    const auto c = static_cast<std::uint8_t>(text[i]);
    const auto number = static_cast<std::uint8_t>(c - '0');
    const auto letter = static_cast<std::uint8_t>((c | 0x20) - 'a');
    digits[i] = number < 10 ? number : static_cast<std::uint8_t>(letter + 10);
    wrong |=
        static_cast<std::uint8_t>(static_cast<unsigned>(number >= 10) & static_cast<unsigned>(letter >= 6));
  }
  for (std::size_t i = 0; i < kBlock; ++i) {
    bytes[i] = static_cast<std::byte>(digits[2 * i] << 4 | digits[2 * i + 1]);
  }
  return wrong == 0;
}

} // namespace

std::string gdb_packet(std::string_view payload) {
  return fmt::format("${}#{:02x}", payload, checksum(payload));
}

std::string gdb_number(std::uint64_t value, std::size_t bytes) {
  std::string text;
  for (std::size_t i = 0; i < bytes; ++i) {
    text += fmt::format("{:02x}", (value >> (8 * i)) & 0xff);
  }
  return text;
}

std::string gdb_bytes(std::span<const std::byte> bytes) {
  constexpr std::string_view kDigits = "0123456789abcdef";
  std::string text;
  text.reserve(2 * bytes.size());
  for (const std::byte byte : bytes) {
    text += kDigits[std::to_integer<std::size_t>(byte >> 4)];
    text += kDigits[std::to_integer<std::size_t>(byte & std::byte{0xf})];
  }
  return text;
}

std::optional<std::uint64_t> parse_gdb_number(std::string_view text) {
  if (text.empty() || text.size() > 16 || text.size() % 2 != 0) {
    return std::nullopt;
  }
  std::uint64_t value = 0;
  for (std::size_t i = text.size(); i > 0; i -= 2) {
    const auto byte = parse_hex(text.substr(i - 2, 2));
    if (!byte) {
      return std::nullopt;
    }
    value = value << 8 | *byte;
  }
  return value;
}

std::optional<std::size_t> parse_gdb_bytes(std::string_view text, std::span<std::byte> bytes) {
  if (text.size() % 2 != 0 || text.size() / 2 > bytes.size()) {
    return std::nullopt;
  }
  std::size_t begin = 0;
  for (; text.size() - begin >= 2 * kBlock; begin += 2 * kBlock) {
    if (!parse_block(text.data() + begin, bytes.data() + begin / 2)) {
      return std::nullopt;
    }
  }
  for (std::size_t i = begin; i < text.size(); i += 2) {
    const auto high = hex_digit(text[i]);
    const auto low = hex_digit(text[i + 1]);
    if (!high || !low) {
      return std::nullopt;
    }
    bytes[i / 2] = static_cast<std::byte>(*high << 4 | *low);
  }
  return text.size() / 2;
}

std::optional<std::string> expand_gdb_payload(std::string_view payload, std::size_t max_size) {
  constexpr int kNoRepeats = 29;
  constexpr char kEscapedBy = 0x20;
  std::string expanded;
  expanded.reserve(std::min(payload.size(), max_size));
  for (std::size_t i = 0; i < payload.size(); ++i) {
    const char c = payload[i];
    const bool coded = c == kEscape || c == kRun;
    if (coded && (i + 1 == payload.size() || (c == kRun && expanded.empty()))) {
      return std::nullopt;
    }
    if (c == kRun) {
      const int repeats = static_cast<unsigned char>(payload[++i]) - kNoRepeats;
      if (repeats < 0) {
        return std::nullopt;
      }
      expanded.append(static_cast<std::size_t>(repeats), expanded.back());
    } else {
      expanded += c == kEscape ? static_cast<char>(payload[++i] ^ kEscapedBy) : c;
    }
    if (expanded.size() > max_size) {
      return std::nullopt;
    }
  }
  return expanded;
}

void GdbPacketReader::feed(std::string_view bytes) {
  buffer_.erase(0, consumed_);
  scanned_ -= std::min(scanned_, consumed_);
  consumed_ = 0;
  buffer_ += bytes;
}

GdbInput GdbPacketReader::take() {
  consumed_ = std::min(buffer_.find_first_not_of('+', consumed_), buffer_.size());
  const std::string_view rest = std::string_view{buffer_}.substr(consumed_);
  if (rest.empty()) {
    return {GdbInput::Kind::incomplete};
  }
  if (rest.front() == '-') {
    ++consumed_;
    return {GdbInput::Kind::resend};
  }
  if (rest.front() != '$' && rest.front() != '%') {
    return {GdbInput::Kind::malformed, rest};
  }
  const std::size_t hash = buffer_.find('#', std::max(scanned_, consumed_));
  scanned_ = std::min(hash, buffer_.size());
  if (scanned_ - consumed_ > max_packet_) {
    return {GdbInput::Kind::too_large};
  }
  if (hash == std::string::npos || buffer_.size() < hash + 3) {
    return {GdbInput::Kind::incomplete};
  }
  const std::string_view payload = rest.substr(1, hash - consumed_ - 1);
  const auto sum = parse_hex(std::string_view{buffer_}.substr(hash + 1, 2));
  consumed_ = hash + 3;
  scanned_ = consumed_;
  if (sum != checksum(payload)) {
    return {GdbInput::Kind::damaged};
  }
  return {rest.front() == '$' ? GdbInput::Kind::packet : GdbInput::Kind::notification, payload};
}

Result<std::optional<std::string>> GdbPacketReader::next() {
  const auto broken = [](std::string text) {
    return fail(ErrorKind::source_failed, kOrigin, fmt::format("the gdbstub {}", text));
  };
  for (;;) {
    const GdbInput input = take();
    switch (input.kind) {
    case GdbInput::Kind::notification: break;
    case GdbInput::Kind::incomplete: return std::optional<std::string>{};
    case GdbInput::Kind::packet: return std::optional{std::string{input.text}};
    case GdbInput::Kind::resend: return broken("rejected a packet");
    case GdbInput::Kind::damaged: return broken("sent a packet with a wrong checksum");
    case GdbInput::Kind::too_large: return broken("sent a packet that is too large");
    case GdbInput::Kind::malformed:
      return broken(fmt::format("sent data that is not a packet: '{}'", printable(input.text)));
    }
  }
}

} // namespace vmemfs
