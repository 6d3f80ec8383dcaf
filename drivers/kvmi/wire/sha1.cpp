// SPDX-License-Identifier: MIT
#include "drivers/kvmi/wire/sha1.h"

#include <bit>
#include <cstdint>
#include <string>

namespace vmemfs::kvmi {
namespace {

constexpr std::size_t kBlock = 64;

using State = std::array<std::uint32_t, 5>;

/// The function and the constant of a round.
struct Round {
  std::uint32_t mixed;
  std::uint32_t constant;
};

Round round_of(unsigned i, std::uint32_t b, std::uint32_t c, std::uint32_t d) {
  if (i < 20) {
    return {(b & c) | (~b & d), 0x5a827999U};
  }
  if (i < 40) {
    return {b ^ c ^ d, 0x6ed9eba1U};
  }
  if (i < 60) {
    return {(b & c) | (b & d) | (c & d), 0x8f1bbcdcU};
  }
  return {b ^ c ^ d, 0xca62c1d6U};
}

void add_block(State& state, std::string_view block) {
  std::array<std::uint32_t, 80> words{};
  for (std::size_t i = 0; i < kBlock; ++i) {
    words[i / 4] = words[i / 4] << 8U | static_cast<unsigned char>(block[i]);
  }
  for (std::size_t i = 16; i < words.size(); ++i) {
    words[i] = std::rotl(words[i - 3] ^ words[i - 8] ^ words[i - 14] ^ words[i - 16], 1);
  }
  auto [a, b, c, d, e] = state;
  for (unsigned i = 0; i < words.size(); ++i) {
    const Round round = round_of(i, b, c, d);
    const std::uint32_t next = std::rotl(a, 5) + round.mixed + e + round.constant + words[i];
    e = d;
    d = c;
    c = std::rotl(b, 30);
    b = a;
    a = next;
  }
  state = {state[0] + a, state[1] + b, state[2] + c, state[3] + d, state[4] + e};
}

} // namespace

std::array<std::byte, 20> sha1(std::string_view text) {
  State state{0x67452301U, 0xefcdab89U, 0x98badcfeU, 0x10325476U, 0xc3d2e1f0U};
  std::string padded{text};
  padded += static_cast<char>(0x80);
  while (padded.size() % kBlock != kBlock - 8) {
    padded += '\0';
  }
  const std::uint64_t bits = std::uint64_t{text.size()} * 8;
  for (int shift = 56; shift >= 0; shift -= 8) {
    padded += static_cast<char>(bits >> static_cast<unsigned>(shift));
  }
  for (std::size_t at = 0; at < padded.size(); at += kBlock) {
    add_block(state, std::string_view{padded}.substr(at, kBlock));
  }
  std::array<std::byte, 20> digest{};
  for (std::size_t i = 0; i < digest.size(); ++i) {
    digest[i] = static_cast<std::byte>(state[i / 4] >> (24 - 8 * (i % 4)));
  }
  return digest;
}

} // namespace vmemfs::kvmi
