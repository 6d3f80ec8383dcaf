// SPDX-License-Identifier: MIT
#include "drivers/kvmi/wire/message.h"

#include "drivers/kvmi/wire/bytes.h"

#include <cstring>
#include <fmt/format.h>

namespace vmemfs::kvmi {
namespace {

/// Some 60 pages, so that a large read takes few system calls.
constexpr std::size_t kBufferSize = std::size_t{256} << 10U;

constexpr std::size_t kSizeAt = 2;
constexpr std::size_t kSeqAt = 4;
/// The status, and padding.
constexpr std::size_t kStatusSize = 8;
/// No errno of the kernel is beyond this.
constexpr std::int32_t kMinStatus = -4095;

} // namespace

void store_header(std::span<std::byte> to, std::uint16_t id, std::size_t size, std::uint32_t seq) {
  store_le<std::uint16_t>(to, 0, id);
  store_le<std::uint16_t>(to, kSizeAt, static_cast<std::uint16_t>(size));
  store_le<std::uint32_t>(to, kSeqAt, seq);
}

MessageReader::MessageReader() : buffer_(kBufferSize) {}

std::span<std::byte> MessageReader::room() {
  if (begin_ == end_) {
    begin_ = end_ = 0;
  } else if (buffer_.size() - end_ < kHeaderSize + kMaxPayload) {
    std::memmove(buffer_.data(), buffer_.data() + begin_, end_ - begin_);
    end_ -= begin_;
    begin_ = 0;
  }
  return std::span{buffer_}.subspan(end_);
}

Result<std::optional<Message>> MessageReader::next() {
  const auto bytes = std::span<const std::byte>{buffer_}.subspan(begin_, end_ - begin_);
  if (bytes.size() < kHeaderSize) {
    return std::nullopt;
  }
  const std::size_t size = load_le<std::uint16_t>(bytes, kSizeAt);
  if (size > kMaxPayload) {
    return fail(ErrorKind::source_failed, "kvmi",
                fmt::format("the VM sent a message of {} bytes, more than KVMI allows", size));
  }
  if (bytes.size() < kHeaderSize + size) {
    return std::nullopt;
  }
  begin_ += kHeaderSize + size;
  return Message{load_le<std::uint16_t>(bytes, 0), load_le<std::uint32_t>(bytes, kSeqAt),
                 bytes.subspan(kHeaderSize, size)};
}

Result<Reply> parse_reply(std::span<const std::byte> payload) {
  if (payload.size() < kStatusSize) {
    return fail(ErrorKind::source_failed, "kvmi",
                fmt::format("the VM sent a reply of {} bytes, shorter than its status", payload.size()));
  }
  const auto status = static_cast<std::int32_t>(load_le<std::uint32_t>(payload, 0));
  if (status > 0 || status < kMinStatus) {
    return fail(ErrorKind::source_failed, "kvmi",
                fmt::format("the VM sent a reply whose status is not an errno: {}", status));
  }
  return Reply{status, status == 0 ? payload.subspan(kStatusSize) : std::span<const std::byte>{}};
}

} // namespace vmemfs::kvmi
