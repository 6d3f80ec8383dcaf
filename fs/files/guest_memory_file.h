// SPDX-License-Identifier: MIT
// Files of guest memory: the base of `mem` and `mem_padded`, and of images.
#pragma once

#include "core/memory_use.h"
#include "fs/files/open_file.h"
#include "vm/guest.h"

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>

namespace vmemfs {

/// Counts reads, and shows the guest's memory (AddressSpace::begin_view()) while it is open.
class GuestMemoryFile : public OpenFile {
public:
  explicit GuestMemoryFile(std::shared_ptr<Guest> guest);
  ~GuestMemoryFile() override;
  GuestMemoryFile(const GuestMemoryFile&) = delete;
  GuestMemoryFile& operator=(const GuestMemoryFile&) = delete;

  void read(Reply& reply, const ReadRequest& request) final;
  void seek(Reply& reply, std::uint64_t offset, int whence) final;
  [[nodiscard]] std::optional<std::uint64_t> page_cache_epoch() override {
    return guest_->page_cache_epoch();
  }
  [[nodiscard]] bool wants_page_cache() final;
  void note_refusal(const Error& error) final { guest_->report_refusal(error); }

protected:
  [[nodiscard]] Guest& guest() { return *guest_; }
  [[nodiscard]] AddressSpace& memory() { return guest_->memory(); }
  /// Whether the kernel's page cache can show it only if ranges of memory begin and end at pages.
  [[nodiscard]] virtual bool needs_whole_pages() const { return true; }

  /// Reads [offset, offset + size) into the scratch; fewer bytes if the file ends or a failure comes before.
  [[nodiscard]] virtual tl::expected<std::size_t, ErrorKind> fetch(std::uint64_t offset, std::size_t size,
                                                                   ReadScratch& scratch) = 0;
  /// The first byte of that use from `offset` on, as lseek's SEEK_DATA (held) and SEEK_HOLE (sparse).
  [[nodiscard]] virtual tl::expected<std::uint64_t, ErrorKind> find(std::uint64_t offset,
                                                                    MemoryUse wanted) = 0;
  /// Of the file, in bytes.
  [[nodiscard]] virtual std::uint64_t size() = 0;
  /// Whether a reader gets this failure of fetch(); all others are I/O errors to a reader of memory.
  [[nodiscard]] virtual bool is_passed_on(ErrorKind failure) const { return failure == ErrorKind::vm_gone; }

private:
  /// Counts the result, then answers.
  void answer(Reply& reply, const ReadRequest& request);

  const std::shared_ptr<Guest> guest_;
};

} // namespace vmemfs
