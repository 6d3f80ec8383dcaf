// SPDX-License-Identifier: MIT
// `batch`: scattered reads of guest memory, a list of ranges in one exchange.
#pragma once

#include "fs/files/batch/batch_answer.h"
#include "fs/files/open_file.h"
#include "fs/files/text_file.h"
#include "util/memory/page_memory.h"
#include "util/mutex.h"
#include "util/timed_lock.h"
#include "vm/guest.h"

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>

namespace vmemfs {

/// A write is a request, and reads give its answer: one from the beginning reads guest memory, later ones
/// continue that answer. The beginning is offset 0, and also the offset at which the write ended, so that
/// read(2) after write(2) needs no seek. Text that is written before the last one was read continues it.
/// Without a request a read gives kUsage; after one that was refused, the reason. A write waits for no
/// memory: while a read of the same open file does, it fails.
class BatchFile final : public OpenFile {
public:
  /// `limit`, which may be null: that of what the open files of the VM show.
  explicit BatchFile(std::shared_ptr<Guest> guest, TextFile::Limit limit = nullptr);
  ~BatchFile() override;
  BatchFile(const BatchFile&) = delete;
  BatchFile& operator=(const BatchFile&) = delete;

  void read(Reply& reply, const ReadRequest& request) override;
  Result<std::size_t> write(std::string_view bytes, std::uint64_t offset) override;

  static constexpr std::string_view kUsage =
      "Write lines ADDRESS LENGTH (decimal, or hex with 0x), then read from the same open file: a line\n"
      "ADDRESS BYTES-READ STATUS BYTES-IN-HEX for each. The binary form is in docs/batch.md.\n";

private:
  Result<std::size_t> take(std::string_view bytes, BatchRequest before) REQUIRES(mutex_);
  Result<void> reserve(const BatchRequest& request) REQUIRES(mutex_);
  Result<void> begin_answer() REQUIRES(mutex_);
  [[nodiscard]] tl::expected<void, ErrorKind> make_answer() REQUIRES(mutex_);

  const std::shared_ptr<Guest> guest_;
  const TextFile::Limit limit_;
  TimedLock mutex_; ///< held while memory is read, and while the answer is given
  /// Kept from request to request, as the kernel gives no memory so fast as it is read.
  std::shared_ptr<PageMemory> memory_ GUARDED_BY(mutex_);
  /// Of a request's list, which the limit counts with memory_.
  std::size_t list_bytes_ GUARDED_BY(mutex_) = 0;
  std::optional<BatchRequest> request_ GUARDED_BY(mutex_); ///< until it is read
  std::optional<BatchAnswer> answer_ GUARDED_BY(mutex_);   ///< in memory_; neither: words_ are read
  bool made_ GUARDED_BY(mutex_) = false;                   ///< the answer has been
  std::string words_ GUARDED_BY(mutex_){kUsage};
  std::uint64_t begin_ GUARDED_BY(mutex_) = 0; ///< file offset at which the answer begins for this handle
};

} // namespace vmemfs
