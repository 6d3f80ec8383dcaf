// SPDX-License-Identifier: MIT
// Packets of GDB's remote serial protocol: the subset that writes registers and memory.
//
// Format: "$PAYLOAD#CC", CC the sum of the payload's bytes modulo 256 in hex; each packet is answered
// by "+" (or "-": send again). Register values are sent in the byte order of the target.
//
// The peer is not trusted: packets are limited in size and their checksums compared.
#pragma once

#include "core/error.h"

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>

namespace vmemfs {

/// `payload` must not contain any of '$', '#', '}' and '*'.
[[nodiscard]] std::string gdb_packet(std::string_view payload);

/// The low `bytes` bytes of `value` in hex, least significant byte first.
[[nodiscard]] std::string gdb_number(std::uint64_t value, std::size_t bytes);

/// Bytes in hex, in their order.
[[nodiscard]] std::string gdb_bytes(std::span<const std::byte> bytes);

/// The reverse of gdb_number(); nullopt unless `text` is the hex form of 1 to 8 bytes.
[[nodiscard]] std::optional<std::uint64_t> parse_gdb_number(std::string_view text);

/// A parser of packets in a stream of bytes. Not thread-safe.
class GdbPacketReader {
public:
  void feed(std::string_view bytes) { buffer_ += bytes; }

  /// Payload of the next complete packet, as sent; nullopt if more bytes are needed. source_failed: the
  /// stream is not of this protocol, a checksum is wrong, a packet is too large, or the stub rejected a
  /// packet of ours.
  [[nodiscard]] Result<std::optional<std::string>> next();

private:
  std::string buffer_;
};

} // namespace vmemfs
