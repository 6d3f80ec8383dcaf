// SPDX-License-Identifier: MIT
// Pages of guest memory that the kernel keeps: for mappings, for sendfile(2), and for files that are read
// through its page cache while the guest is paused.
//
// A file that is open in that way cannot be made to go past the cache later. So that it gives no stale byte
// all the same, the kernel asks for the file's attributes before each read, unless they are still valid
// (FUSE_AUTO_INVAL_DATA). They are valid for a while if nothing can change, and are invalidated when that
// ends. Whoever answers the request has the kernel drop stale pages first: a read that began after a change
// then finds only pages that were read after it began.
#pragma once

#include "fs/tree/inode_table.h"
#include "util/mutex.h"

#include <cstdint>
#include <ctime>
#include <functional>
#include <map>
#include <optional>

namespace vmemfs {

/// Thread-safe. Keeps a record for each file of guest memory that the kernel knows.
class KernelPages {
public:
  /// See OpenFile::page_cache_epoch().
  using Epoch = std::optional<std::uint64_t>;

  /// A page of the file is about to be read for the kernel, which has it locked until the answer.
  void note_fill(Ino ino, Epoch epoch) EXCLUDES(mutex_);
  /// Whether all pages that the kernel may have of the file are of `epoch`.
  [[nodiscard]] bool are_current(Ino ino, Epoch epoch) const EXCLUDES(mutex_);
  /// Unless they are, runs `drop`, which returns false if the pages cannot be dropped now. False: the kernel
  /// may have stale pages.
  [[nodiscard]] bool drop_stale(Ino ino, Epoch epoch, const std::function<bool()>& drop) EXCLUDES(mutex_);

  /// Runs `drop` in any case, after which the kernel has no page that it had before.
  void drop_all(Ino ino, const std::function<void()>& drop) EXCLUDES(mutex_);

  /// Files that are open to be read through the cache, by OpenFile::page_layout().
  void add_reader(Ino ino, std::uint64_t layout) EXCLUDES(mutex_);
  void remove_reader(Ino ino, std::uint64_t layout) EXCLUDES(mutex_);
  [[nodiscard]] bool has_readers(Ino ino) const EXCLUDES(mutex_);
  /// Whether no reader has another layout, so that a page of this one is one of all.
  [[nodiscard]] bool is_only_layout(Ino ino, std::uint64_t layout) const EXCLUDES(mutex_);

  /// All open files: any of them may be mapped.
  void add_holder(Ino ino) EXCLUDES(mutex_);
  void remove_holder(Ino ino) EXCLUDES(mutex_);

  /// The time of modification to report. When it changes, the kernel drops all pages on the thread of whoever
  /// asked, and waits for those that are still to come. So it does not change while a file is open.
  [[nodiscard]] timespec report_mtime(Ino ino, timespec now) EXCLUDES(mutex_);

  /// What reporting a size does. If it is another one than before, the kernel drops all pages on the thread
  /// of whoever asked, and waits for those that are still to come. So it does not change while a file is
  /// open, but for a new end: the kernel gets that before the answer, by Session::grow().
  enum class SizeChange : unsigned char {
    none,
    new_end,  ///< in a page of which the kernel has nothing
    held,     ///< a file is open: the size so far has to do
    reported, ///< the kernel will drop its pages
  };
  /// `size` becomes the one to report.
  [[nodiscard]] SizeChange report_size(Ino ino, std::uint64_t& size) EXCLUDES(mutex_);

  /// The kernel has forgotten the file. It may ask for it again at the same moment.
  void forget(Ino ino) EXCLUDES(mutex_);

private:
  [[nodiscard]] std::uint64_t fills(Ino ino) const EXCLUDES(mutex_);
  void note_dropped(Ino ino, std::uint64_t fills) EXCLUDES(mutex_);

  enum class Content : unsigned char { none, of_one_epoch, mixed };
  struct Record {
    Content content = Content::none;
    std::uint64_t epoch = 0;                     ///< of the pages, if it is one
    std::uint64_t fills = 0;                     ///< so far
    std::map<std::uint64_t, unsigned> readers{}; ///< their number by layout
    unsigned holders = 0;
    std::optional<timespec> mtime{};     ///< as last reported
    std::optional<std::uint64_t> size{}; ///< the same

    [[nodiscard]] bool is_open() const { return holders > 0 || !readers.empty(); }
    [[nodiscard]] bool is_current(Epoch wanted) const {
      return content == Content::none || (content == Content::of_one_epoch && wanted == epoch);
    }
  };

  mutable Mutex mutex_; ///< leaf
  std::map<Ino, Record> records_ GUARDED_BY(mutex_);
};

} // namespace vmemfs
