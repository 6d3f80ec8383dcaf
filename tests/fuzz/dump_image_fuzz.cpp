// SPDX-License-Identifier: MIT
// Files with saved memory, of every format that their content can say.
#include "drivers/dump/dump_driver.h"
#include "fuzz/fuzz_target.h"

#include <array>

FUZZ_TARGET(text) {
  using vmemfs::fuzz::expect;
  const vmemfs::fuzz::MemoryFile file{text};
  auto opened = vmemfs::DumpDriver::open(file.path());
  if (!opened) {
    expect(!opened.error().text.empty(), "an error has a sentence");
    return;
  }
  vmemfs::Driver& driver = **opened;
  std::array<std::byte, 5000> buffer{};
  vmemfs::Gpa end;
  for (const vmemfs::Region& region : driver.memory_map()->regions()) {
    expect(end <= region.range.begin && region.range.begin < region.range.end,
           "regions are sorted and apart");
    end = region.range.end;
    for (const vmemfs::Gpa gpa : {region.range.begin, vmemfs::Gpa{region.range.end.value() - 1}}) {
      vmemfs::ReadPiece piece{gpa, buffer, 0, {}};
      driver.read({&piece, 1});
      expect(piece.done <= buffer.size() && (piece.done == buffer.size()) == !piece.failure,
             "a read is complete or has a reason");
    }
  }
  for (const vmemfs::VcpuId vcpu : driver.vcpus()) {
    expect(driver.register_reader()->read_vcpu(vcpu).has_value(), "every vCPU has registers");
  }
  static_cast<void>(driver.access());
  static_cast<void>(driver.probe());
}
