// SPDX-License-Identifier: MIT
#include "drivers/kvmi/wire/greeting.h"

#include "drivers/kvmi/wire/bytes.h"
#include "drivers/kvmi/wire/sha1.h"

#include <algorithm>
#include <fmt/format.h>

namespace vmemfs::kvmi {
namespace {

constexpr std::size_t kMinSize = 32;
constexpr std::size_t kMaxSize = 65536;
constexpr std::size_t kUuidAt = 4;
constexpr std::size_t kUuidSize = 16;
constexpr std::size_t kStartTimeAt = 24;
constexpr std::size_t kNameAt = 32;
constexpr std::size_t kNameSize = 64;
constexpr std::size_t kMaxGpaAt = 96;
constexpr std::size_t kHashAt = 4;

std::string uuid_text(std::span<const std::byte> bytes) {
  std::string text;
  for (std::size_t i = 0; i < kUuidSize; ++i) {
    if (i == 4 || i == 6 || i == 8 || i == 10) {
      text += '-';
    }
    text += fmt::format("{:02x}", std::to_integer<unsigned>(bytes[i]));
  }
  return text;
}

} // namespace

Result<std::size_t> greeting_size(std::span<const std::byte, kGreetingSizeField> field) {
  const auto size = load_le<std::uint32_t>(field, 0);
  if (size < kMinSize || size > kMaxSize) {
    return fail(
        ErrorKind::source_failed, "kvmi",
        fmt::format("cannot use a greeting of {} bytes; QEMU's have {} to {}", size, kMinSize, kMaxSize));
  }
  return size;
}

Greeting parse_greeting(std::span<const std::byte> bytes) {
  std::array<std::byte, kGreetingKnown> known{};
  std::ranges::copy(bytes.first(std::min(bytes.size(), known.size())), known.begin());
  const std::span<const std::byte> fields{known};
  Greeting greeting;
  greeting.uuid = uuid_text(fields.subspan(kUuidAt, kUuidSize));
  greeting.start_time = static_cast<std::int64_t>(load_le<std::uint64_t>(fields, kStartTimeAt));
  for (const std::byte byte : fields.subspan(kNameAt, kNameSize)) {
    if (byte == std::byte{0}) {
      break;
    }
    greeting.name += static_cast<char>(byte);
  }
  greeting.max_gpa = load_le<std::uint64_t>(fields, kMaxGpaAt);
  return greeting;
}

std::array<std::byte, kAnswerSize> greeting_answer(std::string_view secret) {
  std::array<std::byte, kAnswerSize> answer{};
  store_le<std::uint32_t>(answer, 0, kAnswerSize);
  if (!secret.empty()) {
    std::ranges::copy(sha1(secret), answer.begin() + kHashAt);
  }
  return answer;
}

} // namespace vmemfs::kvmi
