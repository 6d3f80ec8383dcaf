// SPDX-License-Identifier: MIT
#include "drivers/leechcore/wire/worker_message.h"

#include "core/text.h"
#include "drivers/leechcore/wire/shared_area.h"

#include <cstring>
#include <fmt/format.h>
#include <vector>

namespace vmemfs::leechcore {
namespace {

constexpr std::string_view kOrigin = "leechcore";
constexpr std::uint32_t kRequestMagic = 0x31514c76; ///< "vLQ1": the last character is the version
constexpr std::uint32_t kReplyMagic = 0x31524c76;   ///< "vLR1"
constexpr std::uint32_t kOk = 1;
constexpr std::uint32_t kVolatile = 2;
constexpr std::uint32_t kWritable = 4;
constexpr std::uint32_t kAllFlags = kOk | kVolatile | kWritable;
constexpr std::size_t kOpenStrings = 4;

struct RequestPacket {
  std::uint32_t magic;
  std::uint32_t operation;
  std::uint64_t sequence;
  std::uint32_t count;
  std::uint32_t text_size;
  std::uint64_t reserved[3];
};
static_assert(sizeof(RequestPacket) == kMessageSize);

struct ReplyPacket {
  std::uint32_t magic;
  std::uint32_t flags;
  std::uint64_t sequence;
  std::uint64_t max_address;
  std::uint32_t text_size;
  std::uint32_t version[3];
  std::uint64_t reserved;
};
static_assert(sizeof(ReplyPacket) == kMessageSize);

template <typename Packet> Message to_bytes(const Packet& packet) {
  Message message;
  std::memcpy(message.data(), &packet, sizeof packet);
  return message;
}

template <typename Packet> Result<Packet> to_packet(std::span<const std::byte> bytes, std::uint32_t magic) {
  Packet packet{};
  if (bytes.size() == sizeof packet) {
    std::memcpy(&packet, bytes.data(), sizeof packet);
  }
  if (packet.magic != magic) {
    return fail(ErrorKind::invalid, kOrigin,
                fmt::format("a message of {} bytes is not of this version; restart vmemfs if it was updated",
                            bytes.size()));
  }
  return packet;
}

tl::unexpected<Error> wrong_number(std::string_view what, std::uint64_t value) {
  return fail(ErrorKind::invalid, kOrigin, fmt::format("a message has a wrong {}: {:#x}", what, value));
}

} // namespace

Message to_message(const Request& request) {
  return to_bytes(RequestPacket{kRequestMagic,
                                static_cast<std::uint32_t>(request.operation),
                                request.sequence,
                                request.count,
                                request.text_size,
                                {}});
}

Message to_message(const Reply& reply) {
  const std::uint32_t flags =
      (reply.ok ? kOk : 0) | (reply.is_volatile ? kVolatile : 0) | (reply.is_writable ? kWritable : 0);
  return to_bytes(ReplyPacket{kReplyMagic,
                              flags,
                              reply.sequence,
                              reply.max_address,
                              reply.text_size,
                              {reply.version[0], reply.version[1], reply.version[2]},
                              0});
}

Result<Request> parse_request(std::span<const std::byte> packet) {
  const auto read = to_packet<RequestPacket>(packet, kRequestMagic);
  if (!read) {
    return tl::unexpected{read.error()};
  }
  const auto operation = static_cast<Operation>(read->operation);
  if (operation != Operation::open && operation != Operation::read && operation != Operation::write) {
    return wrong_number("operation", read->operation);
  }
  if (read->count > kMaxPages) {
    return wrong_number("number of elements", read->count);
  }
  if (read->text_size > kMaxText) {
    return wrong_number("size of a text", read->text_size);
  }
  return Request{operation, read->count, read->sequence, read->text_size};
}

Result<Reply> parse_reply(std::span<const std::byte> packet, std::uint64_t sequence) {
  const auto read = to_packet<ReplyPacket>(packet, kReplyMagic);
  if (!read) {
    return tl::unexpected{read.error()};
  }
  if (read->sequence != sequence) {
    return wrong_number("sequence number", read->sequence);
  }
  if ((read->flags & ~kAllFlags) != 0) {
    return wrong_number("set of flags", read->flags);
  }
  if (read->text_size > kMaxText) {
    return wrong_number("size of a text", read->text_size);
  }
  return Reply{(read->flags & kOk) != 0,
               read->sequence,
               read->text_size,
               (read->flags & kVolatile) != 0,
               (read->flags & kWritable) != 0,
               read->max_address,
               {read->version[0], read->version[1], read->version[2]}};
}

Result<std::string> to_text(const OpenRequest& request) {
  std::string text;
  for (const std::string* const part : {&request.library, &request.device, &request.remote, &request.map}) {
    if (part->find('\0') != std::string::npos) {
      return fail(ErrorKind::invalid, kOrigin, "a parameter contains a NUL byte");
    }
    text += *part;
    text += '\0';
  }
  if (text.size() > kMaxText) {
    return fail(
        ErrorKind::invalid, kOrigin,
        fmt::format("device, remote and memory map take {} bytes; {} are possible", text.size(), kMaxText));
  }
  return text;
}

Result<OpenRequest> parse_open_request(std::string_view text) {
  std::vector<std::string_view> parts = split(text, '\0');
  if (parts.size() != kOpenStrings || text.back() != '\0') {
    return fail(ErrorKind::invalid, kOrigin, "a request to open has not four texts");
  }
  return OpenRequest{std::string{parts[0]}, std::string{parts[1]}, std::string{parts[2]},
                     std::string{parts[3]}};
}

} // namespace vmemfs::leechcore
