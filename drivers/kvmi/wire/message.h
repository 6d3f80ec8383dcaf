// SPDX-License-Identifier: MIT
// Messages of KVMI in a stream of bytes: a header of 8 bytes (id, size, sequence number) and a payload.
#pragma once

#include "core/error.h"

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

namespace vmemfs::kvmi {

inline constexpr std::size_t kHeaderSize = 8;
/// Max size of a payload, in both directions.
inline constexpr std::size_t kMaxPayload = 8184;

struct Message {
  std::uint16_t id;
  std::uint32_t seq;
  std::span<const std::byte> payload; ///< valid until bytes are added to the reader
};

/// Stores the header of a message at the begin of `to`.
void store_header(std::span<std::byte> to, std::uint16_t id, std::size_t size, std::uint32_t seq);

/// Takes a stream apart. Its buffer has a fixed size, whatever the other side sends. Not thread-safe.
class MessageReader {
public:
  MessageReader();

  /// Where the next bytes go; never empty after next() gave nothing.
  [[nodiscard]] std::span<std::byte> room();
  void added(std::size_t size) { end_ += size; }

  /// The next whole message; nullopt: more bytes are needed. source_failed: one that is too large, so that
  /// the rest of the stream has no meaning.
  [[nodiscard]] Result<std::optional<Message>> next();

private:
  std::vector<std::byte> buffer_;
  std::size_t begin_ = 0;
  std::size_t end_ = 0;
};

/// The payload of a reply: a status, and data after it if the status is 0.
struct Reply {
  std::int32_t status; ///< 0 or a negative errno
  std::span<const std::byte> data;
};

/// source_failed: shorter than a reply, or with a status that is no errno.
[[nodiscard]] Result<Reply> parse_reply(std::span<const std::byte> payload);

} // namespace vmemfs::kvmi
