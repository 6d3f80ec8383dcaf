// SPDX-License-Identifier: MIT
// The ELF file of a running QEMU.
#include "drivers/qemu/flat_view/elf_symbols.h"
#include "fuzz/fuzz_target.h"

FUZZ_TARGET(text) {
  const auto bytes = std::as_bytes(std::span{text.data(), text.size()});
  const auto file = vmemfs::qemu::ElfFile::open(vmemfs::qemu::elf_bytes(bytes));
  if (file) {
    vmemfs::fuzz::expect(file->first_load_address() % 4096 == 0, "a segment begins at a page");
    static_cast<void>(file->find_symbol("address_space_memory"));
  }
}
