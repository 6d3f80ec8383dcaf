// SPDX-License-Identifier: MIT
// What users write to `vcpus/N/regs`.
#include "arch/aarch64/registers.h"
#include "arch/riscv64/registers.h"
#include "arch/x86_64/registers.h"
#include "core/register_set.h"
#include "fuzz/fuzz_target.h"

FUZZ_TARGET(text) {
  for (const auto* layout : {&vmemfs::x86_64::register_layout(), &vmemfs::aarch64::register_layout(),
                             &vmemfs::riscv64::register_layout()}) {
    if (const auto values = vmemfs::parse_registers(*layout, text)) {
      vmemfs::RegisterSet set{*layout};
      for (const auto& value : *values) {
        set.set(value.reg, value.value);
      }
      vmemfs::fuzz::expect(!set.empty() && vmemfs::parse_registers(*layout, to_text(set)),
                           "the text of registers can be read");
    }
  }
}
