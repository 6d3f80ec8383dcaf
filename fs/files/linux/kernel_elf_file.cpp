// SPDX-License-Identifier: MIT
#include "fs/files/linux/kernel_elf_file.h"

#include <utility>

namespace vmemfs {

KernelElfFile::KernelElfFile(std::shared_ptr<Guest> guest, std::shared_ptr<const ElfFile> elf)
    : GuestMemoryFile{std::move(guest)}, elf_{std::move(elf)}, view_{memory(), elf_->layout} {}

tl::expected<std::size_t, ErrorKind> KernelElfFile::fetch(std::uint64_t offset, std::size_t size,
                                                          ReadScratch& scratch) {
  return view_.read(offset, size, elf_->made, scratch, read_ahead_);
}

} // namespace vmemfs
