// SPDX-License-Identifier: MIT
// `ram/NAME`: a block of backing memory, offsets are those of the block.
#pragma once

#include "fs/files/guest_memory_file.h"
#include "vm/views/block_view.h"

#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <utility>

namespace vmemfs {

class BlockFile final : public GuestMemoryFile {
public:
  /// Gets a text that says how the file is served: see OpenFile::note_service().
  using NoteService = std::function<void(std::string)>;

  /// `name`: of the file.
  BlockFile(std::shared_ptr<Guest> guest, std::string name, NoteService note_service = {})
      : GuestMemoryFile{std::move(guest)}, view_{memory(), std::move(name)},
        note_service_{std::move(note_service)} {}

  /// As that of `mem`.
  Result<std::size_t> write(std::string_view bytes, std::uint64_t offset) override {
    return view_.write(offset, std::as_bytes(std::span{bytes}));
  }

  [[nodiscard]] Result<UniqueFd> open_backing() override {
    if (guest().gone()) {
      return fail(ErrorKind::vm_gone, "fs", "the VM has ended");
    }
    return view_.open_file();
  }
  void note_service(const std::string& text) override {
    if (note_service_) {
      note_service_(text);
    }
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
  const NoteService note_service_;
  ReadAhead read_ahead_;
};

} // namespace vmemfs
