// SPDX-License-Identifier: MIT
// `mem` and `mem_padded`: guest memory.
#pragma once

#include "fs/files/open_file.h"
#include "vm/guest.h"

#include <memory>

namespace vmemfs {

class MemoryFile : public OpenFile {
public:
  MemoryFile(std::shared_ptr<Guest> guest, HolePolicy policy);
  ~MemoryFile() override;
  MemoryFile(const MemoryFile&) = delete;
  MemoryFile& operator=(const MemoryFile&) = delete;

  void read(Reply& reply, const ReadRequest& request) override;
  /// Writes guest memory at once; see AddressSpace::write() for a write that fails in part.
  Result<std::size_t> write(std::string_view bytes, std::uint64_t offset) override;
  void seek(Reply& reply, std::uint64_t offset, int whence) override;

private:
  /// Counts the result, then answers.
  void answer(Reply& reply, const ReadRequest& request);

  const std::shared_ptr<Guest> guest_;
  AddressSpace& memory_; ///< the guest's
  const HolePolicy policy_;
  ReadAhead read_ahead_;
};

} // namespace vmemfs
