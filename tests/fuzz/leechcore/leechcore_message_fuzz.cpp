// SPDX-License-Identifier: MIT
// Messages between the daemon and a worker process, and what a worker prints.
#include "drivers/leechcore/client/worker_output.h"
#include "drivers/leechcore/wire/shared_area.h"
#include "drivers/leechcore/wire/worker_message.h"
#include "fuzz/fuzz_target.h"

#include <algorithm>
#include <span>
#include <string>

namespace {

using namespace vmemfs::leechcore;
using vmemfs::fuzz::expect;

template <typename Message> bool is_prefix(const Message& message, std::span<const std::byte> bytes) {
  // Bytes at the end are reserved; they are zero in what is made.
  return std::ranges::equal(message.begin(), message.begin() + 16, bytes.begin(), bytes.begin() + 16);
}

} // namespace

FUZZ_TARGET(text) {
  const auto bytes = std::as_bytes(std::span{text});
  std::uint64_t sequence = 0;
  if (bytes.size() >= 16) {
    std::copy_n(bytes.begin() + 8, sizeof sequence, reinterpret_cast<std::byte*>(&sequence));
  }
  if (const auto request = parse_request(bytes)) {
    expect(request->count <= kMaxPages && request->text_size <= kMaxText, "a request is within its limits");
    expect(is_prefix(to_message(*request), bytes), "a request reads back unchanged");
  }
  if (const auto reply = parse_reply(bytes, sequence)) {
    expect(reply->text_size <= kMaxText, "a reply is within its limits");
    expect(is_prefix(to_message(*reply), bytes), "a reply reads back unchanged");
  }
  if (const auto request = parse_open_request(text)) {
    const auto again = to_text(*request);
    expect(again && *again == text, "a request to open reads back unchanged");
  }
  LineCutter cutter;
  std::size_t total = 0;
  for (const std::string& line : cutter.feed(text)) {
    expect(!line.empty() && line.size() <= LineCutter::kMaxLine, "a line is within its limits");
    total += line.size();
  }
  expect(total <= text.size(), "lines have nothing that was not printed");
}
