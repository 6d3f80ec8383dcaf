// SPDX-License-Identifier: MIT
// `vmlinux`: the ELF file of the kernel that runs, with its code and data as the guest has them now.
#pragma once

#include "fs/files/guest_memory_file.h"
#include "linux/vmlinux/elf_writer.h"
#include "vm/views/image_view.h"

#include <cstddef>
#include <cstdint>
#include <memory>

namespace vmemfs {

/// Headers, symbols and types stay those of the moment of opening. Takes no writes.
class KernelElfFile final : public GuestMemoryFile {
public:
  KernelElfFile(std::shared_ptr<Guest> guest, std::shared_ptr<const ElfFile> elf);

private:
  tl::expected<std::size_t, ErrorKind> fetch(std::uint64_t offset, std::size_t size,
                                             ReadScratch& scratch) override;
  tl::expected<std::uint64_t, ErrorKind> find(std::uint64_t offset, MemoryUse wanted) override {
    return view_.seek(offset, wanted);
  }
  std::uint64_t size() override { return view_.layout().size(); }

  const std::shared_ptr<const ElfFile> elf_;
  const ImageView view_;
  ReadAhead read_ahead_;
};

} // namespace vmemfs
