// SPDX-License-Identifier: MIT
// Replies of pmemaccess: lengths of two reads, the size of the pieces, and the stream. What is given of a
// read must be the bytes of the stream before its status, and only if all have come and the status is not 0.
#include "drivers/pmemaccess/session/wire_format.h"
#include "fuzz/fuzz_target.h"

#include <algorithm>
#include <cstring>

using vmemfs::pmemaccess::ReadReply;

/// Collects one reply, and gives the rest of the stream.
static std::string_view collect(ReadReply& reply, std::size_t length, std::size_t step,
                                std::string_view stream) {
  using vmemfs::fuzz::expect;
  const std::string_view whole = stream.substr(0, length + 1);
  reply.begin(length);
  while (!reply.room().empty() && !stream.empty()) {
    expect(reply.data().empty(), "nothing is given before the status");
    const std::size_t size = std::min({step, reply.room().size(), stream.size()});
    std::memcpy(reply.room().data(), stream.data(), size);
    reply.take(size);
    stream.remove_prefix(size);
  }
  const bool success = whole.size() == length + 1 && whole.back() != '\0';
  expect(success == (reply.state() == ReadReply::State::whole), "a success has all bytes and a status");
  expect(reply.data().size() == (success ? length : 0), "all or nothing is given");
  expect(!success || std::memcmp(reply.data().data(), whole.data(), length) == 0,
         "the bytes are the stream's");
  return stream;
}

FUZZ_TARGET(text) {
  if (text.size() < 4) {
    return;
  }
  const auto byte = [&](std::size_t at) { return std::size_t{static_cast<unsigned char>(text[at])}; };
  const std::size_t first = 1 + byte(0) + 256 * (byte(1) % 4);
  const std::size_t second = 1 + byte(2);
  const std::size_t step = 1 + byte(3);
  ReadReply reply;
  collect(reply, second, step, collect(reply, first, step, text.substr(4)));
}
