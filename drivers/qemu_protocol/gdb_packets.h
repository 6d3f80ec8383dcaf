// SPDX-License-Identifier: MIT
// Packets of GDB's remote serial protocol.
//
// Format: "$PAYLOAD#CC", CC the sum of the payload's bytes modulo 256 in hex; each packet is answered
// by "+" (or "-": send again). "%" begins a notification, which is answered by nothing. In a payload, "}" and
// the next byte XOR 0x20 are one byte, and "X*N" is X repeated N - 29 times more. Register values are sent in
// the byte order of the target. Source: "Remote Protocol" in GDB's manual.
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

/// The reverse of gdb_bytes(): how many bytes `text` is, written to the start of `bytes`; nullopt unless it
/// is pairs of hex digits that fit.
[[nodiscard]] std::optional<std::size_t> parse_gdb_bytes(std::string_view text, std::span<std::byte> bytes);

/// A payload without escapes and run lengths; nullopt if it is malformed or gets larger than `max_size`.
[[nodiscard]] std::optional<std::string> expand_gdb_payload(std::string_view payload, std::size_t max_size);

/// What comes next in a stream of packets.
struct GdbInput {
  enum class Kind : unsigned char {
    incomplete,   ///< more bytes are needed
    packet,       ///< `text` is its payload, as sent
    notification, ///< the same
    resend,       ///< the peer did not get a packet of ours intact
    damaged,      ///< a packet with a wrong checksum, which has been skipped
    malformed,    ///< not of this protocol; `text` is the begin of it, and nothing valid follows
    too_large,    ///< nothing valid follows
  };
  Kind kind;
  std::string_view text{}; ///< valid until the next call of the reader
};

/// A parser of packets in a stream of bytes. Not thread-safe.
class GdbPacketReader {
public:
  static constexpr std::size_t kMaxPacket = std::size_t{64} << 10;

  explicit GdbPacketReader(std::size_t max_packet = kMaxPacket) : max_packet_{max_packet} {}

  void feed(std::string_view bytes);

  /// Without acknowledgements, which are skipped.
  [[nodiscard]] GdbInput take();

  /// Payload of the next complete packet, as sent; nullopt if more bytes are needed. source_failed: the
  /// stream is not of this protocol, a checksum is wrong, a packet is too large, or the stub rejected a
  /// packet of ours.
  [[nodiscard]] Result<std::optional<std::string>> next();

private:
  std::size_t max_packet_;
  std::string buffer_;
  std::size_t consumed_ = 0; ///< bytes of buffer_ that take() is done with
  std::size_t scanned_ = 0;  ///< no end of a packet in buffer_ before this
};

} // namespace vmemfs
