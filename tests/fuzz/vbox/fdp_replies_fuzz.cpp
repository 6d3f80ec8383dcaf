// SPDX-License-Identifier: MIT
// Replies of FDP: a request, then a size and a status of any value, and bytes. What is taken must be the
// reply that was asked for; and the search for memory, whose pages are as readable as the text says.
#include "drivers/vbox/guest/memory_search.h"
#include "drivers/vbox/link/packets.h"
#include "fuzz/fuzz_target.h"

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

using namespace vmemfs::vbox; // NOLINT
using vmemfs::Gpa;
using vmemfs::VcpuId;

static Request request_of(unsigned char kind, std::size_t size) {
  switch (kind % 4) {
  case 0: return read_request(Gpa{0x1000}, 1 + size % kMaxRead);
  case 1: return read_register_request(VcpuId{0}, 1);
  case 2: return simple_request(Opcode::cpu_count, 4);
  default: return state_request();
  }
}

static void check_search(std::uint64_t ram_bytes, std::string_view answers) {
  unsigned reads = 0;
  const auto map = find_memory(ram_bytes, [&](Gpa /*page*/) -> vmemfs::Result<bool> {
    const std::size_t at = reads++;
    return !answers.empty() && (answers[at / 8 % answers.size()] >> (at % 8) & 1) != 0;
  });
  vmemfs::fuzz::expect(reads < 500, "a search is bounded");
  vmemfs::fuzz::expect(!map || map->ram_end().value() <= ram_bytes + (std::uint64_t{1} << 32U),
                       "memory ends where it can");
}

FUZZ_TARGET(text) {
  if (text.size() < 6) {
    return;
  }
  const auto bytes = std::as_bytes(std::span{text});
  const auto size = static_cast<std::uint32_t>(number_of(bytes.subspan(1, 4)));
  const auto status = std::to_integer<std::uint8_t>(bytes[5]);
  const Request request = request_of(static_cast<unsigned char>(text[0]), text.size());
  const Verdict verdict = judge({size, status}, request);
  vmemfs::fuzz::expect((verdict == Verdict::done) == (status == 1 && size == request.reply_bytes),
                       "only the right size is taken");
  vmemfs::fuzz::expect(verdict != Verdict::refused || (status == 0 && size == 1), "a refusal has one byte");
  const std::uint64_t number = number_of(bytes.subspan(6));
  static_cast<void>(state_of(number));
  check_search(number % (std::uint64_t{1} << 40U), text.substr(6));
}
