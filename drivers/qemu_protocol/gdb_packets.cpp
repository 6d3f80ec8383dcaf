// SPDX-License-Identifier: MIT
#include "drivers/qemu_protocol/gdb_packets.h"

#include "core/text.h"

#include <fmt/format.h>
#include <utility>

namespace vmemfs {
namespace {

constexpr std::string_view kOrigin = "gdbstub";
constexpr std::size_t kMaxPacket = std::size_t{64} << 10;

std::uint8_t checksum(std::string_view payload) {
  unsigned sum = 0;
  for (const char c : payload) {
    sum += static_cast<unsigned char>(c);
  }
  return static_cast<std::uint8_t>(sum);
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

Result<std::optional<std::string>> GdbPacketReader::next() {
  buffer_.erase(0, buffer_.find_first_not_of('+'));
  if (buffer_.empty()) {
    return std::optional<std::string>{};
  }
  if (buffer_.front() != '$') {
    return fail(ErrorKind::source_failed, kOrigin,
                fmt::format("QEMU's gdbstub sent data that is not a packet: '{}'", printable(buffer_)));
  }
  const std::size_t hash = buffer_.find('#');
  if (buffer_.size() > kMaxPacket) {
    return fail(ErrorKind::source_failed, kOrigin, "QEMU's gdbstub sent a packet that is too large");
  }
  if (hash == std::string::npos || buffer_.size() < hash + 3) {
    return std::optional<std::string>{};
  }
  std::string payload = buffer_.substr(1, hash - 1);
  if (parse_hex(buffer_.substr(hash + 1, 2)) != checksum(payload)) {
    return fail(ErrorKind::source_failed, kOrigin, "QEMU's gdbstub sent a packet with a wrong checksum");
  }
  buffer_.erase(0, hash + 3);
  return std::optional{std::move(payload)};
}

} // namespace vmemfs
