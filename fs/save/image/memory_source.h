// SPDX-License-Identifier: MIT
// The file of a mount that is saved.
#pragma once

#include "core/error.h"
#include "fs/save/guest/mounted_vm.h"
#include "fs/save/image/unreadable_ranges.h"
#include "fs/save/save_format.h"
#include "util/unique_fd.h"

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <utility>

namespace vmemfs {

/// Its size and, of a format with headers, its ranges are those of the time when it was opened.
class MemorySource {
public:
  /// Reads the first bytes of a format with headers, which fixes its registers; they must be readable.
  [[nodiscard]] static Result<MemorySource> open(const MountedVm& vm, const SaveFormatInfo& format);

  /// Of a file that is open already. `name` is for messages.
  MemorySource(UniqueFd fd, std::string name, std::uint64_t size)
      : fd_{std::move(fd)}, name_{std::move(name)}, size_{size} {}

  [[nodiscard]] std::uint64_t size() const { return size_; }
  /// One more descriptor of the same open file, for those who read its headers.
  [[nodiscard]] Result<UniqueFd> duplicate() const;

  /// Whether there may be other bytes than zeros in [begin, end). Asks the mount only if it must. To be asked
  /// in ascending order, by one thread at a time.
  [[nodiscard]] bool has_data(std::uint64_t begin, std::uint64_t end);

  /// Reads [offset, offset + target.size()), which is inside. What cannot be read (EIO) is zeros in `target`
  /// and is added to `unreadable`. Fails if the VM has ended or the mount has gone. Thread-safe.
  [[nodiscard]] Result<void> read(std::uint64_t offset, std::span<std::byte> target,
                                  UnreadableRanges& unreadable) const;

private:
  /// Of a format with headers: the size that it really has, as far as that differs by its last bytes. It is
  /// another one if the memory map changed between opening the file and asking for its size.
  [[nodiscard]] Result<std::uint64_t> check_headers() const;

  UniqueFd fd_;
  std::string name_;
  std::uint64_t size_;
  std::uint64_t data_begin_ = 0; ///< the data that was found last
  std::uint64_t data_end_ = 0;
  bool sparse_ = true; ///< whether the file reports holes
};

/// Bytes that an image takes on a disk if nothing of it packs, an estimate: of the memory that the host has.
[[nodiscard]] Result<std::uint64_t> image_bytes(const MountedVm& vm, const SaveFormatInfo& format);

} // namespace vmemfs
