// SPDX-License-Identifier: MIT
// The stream of a gdbstub, in pieces whose size the first byte says.
#include "drivers/qemu_protocol/gdb_packets.h"
#include "fuzz/fuzz_target.h"

#include <algorithm>

FUZZ_TARGET(text) {
  if (text.empty()) {
    return;
  }
  const std::size_t step = 1 + 16 * static_cast<std::size_t>(static_cast<unsigned char>(text.front()));
  text.remove_prefix(1);
  vmemfs::GdbPacketReader reader;
  while (!text.empty()) {
    const std::size_t size = std::min(step, text.size());
    reader.feed(text.substr(0, size));
    text.remove_prefix(size);
    for (auto packet = reader.next(); !packet || *packet; packet = reader.next()) {
      if (!packet) {
        return;
      }
      static_cast<void>(vmemfs::parse_gdb_number(**packet));
      const auto expanded = vmemfs::expand_gdb_payload(**packet, 1000);
      vmemfs::fuzz::expect(!expanded || expanded->size() <= 1000, "an expanded payload is limited");
    }
  }
}
