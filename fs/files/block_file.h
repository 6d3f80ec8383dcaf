// SPDX-License-Identifier: MIT
// `ram/NAME`: a block of backing memory, offsets are those of the block.
#pragma once

#include "fs/files/guest_memory_file.h"
#include "vm/views/block_view.h"

#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <utility>

namespace vmemfs {

class BlockFile final : public GuestMemoryFile {
public:
  /// `name`: of the file.
  BlockFile(std::shared_ptr<Guest> guest, std::string name)
      : GuestMemoryFile{std::move(guest)}, view_{memory(), std::move(name)} {}

  /// As that of `mem`.
  Result<std::size_t> write(std::string_view bytes, std::uint64_t offset) override {
    return view_.write(offset, std::as_bytes(std::span{bytes}));
  }

private:
  tl::expected<std::size_t, ErrorKind> fetch(std::uint64_t offset, std::size_t size,
                                             ReadScratch& scratch) override {
    return view_.read(offset, size, scratch, read_ahead_);
  }
  tl::expected<std::uint64_t, ErrorKind> find(std::uint64_t offset, MemoryUse wanted) override {
    return view_.seek(offset, wanted);
  }
  std::uint64_t size() override { return view_.size(); }

  const BlockView view_;
  ReadAhead read_ahead_;
};

} // namespace vmemfs
