// SPDX-License-Identifier: MIT
// `mem` and `mem_padded`: guest memory, offsets are guest physical addresses.
#pragma once

#include "fs/files/guest_memory_file.h"
#include "vm/memory/hole_policy.h"
#include "vm/memory/memory_search.h"

#include <memory>
#include <span>
#include <string_view>
#include <utility>

namespace vmemfs {

class MemoryFile final : public GuestMemoryFile {
public:
  MemoryFile(std::shared_ptr<Guest> guest, HolePolicy policy)
      : GuestMemoryFile{std::move(guest)}, policy_{policy} {}

  /// Writes guest memory at once; see AddressSpace::write() for a write that fails in part.
  Result<std::size_t> write(std::string_view bytes, std::uint64_t offset) override {
    return memory().write(offset, std::as_bytes(std::span{bytes}));
  }

private:
  tl::expected<std::size_t, ErrorKind> fetch(std::uint64_t offset, std::size_t size,
                                             ReadScratch& scratch) override {
    return memory().read(offset, size, policy_, scratch, &read_ahead_);
  }
  tl::expected<std::uint64_t, ErrorKind> find(std::uint64_t offset, MemoryUse wanted) override {
    return wanted == MemoryUse::held ? seek_data(memory(), offset) : seek_hole(memory(), offset);
  }
  std::uint64_t size() override { return memory().size(); }

  const HolePolicy policy_;
  ReadAhead read_ahead_;
};

} // namespace vmemfs
