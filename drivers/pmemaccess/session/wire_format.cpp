// SPDX-License-Identifier: MIT
#include "drivers/pmemaccess/session/wire_format.h"

namespace vmemfs::pmemaccess {
namespace {

constexpr std::size_t kWord = sizeof(std::uint64_t);

void put_word(RequestBytes& bytes, std::size_t index, std::uint64_t value) {
  for (std::size_t i = 0; i < kWord; ++i) {
    bytes[index * kWord + i] = static_cast<std::byte>(value >> (8 * i));
  }
}

} // namespace

RequestBytes request_bytes(RequestType type, Gpa gpa, std::uint64_t length) {
  RequestBytes bytes{};
  put_word(bytes, 0, static_cast<std::uint64_t>(type));
  put_word(bytes, 1, gpa.value());
  put_word(bytes, 2, length);
  return bytes;
}

ReadReply::State ReadReply::state() const {
  if (have_ == length_ + 1) {
    return bytes_[length_] != std::byte{0} ? State::whole : State::failed;
  }
  if (have_ == 0) {
    return State::empty;
  }
  return have_ == 1 ? State::one_byte : State::partial;
}

std::span<const std::byte> ReadReply::data() const {
  return state() == State::whole ? std::span{bytes_}.first(length_) : std::span<const std::byte>{};
}

} // namespace vmemfs::pmemaccess
