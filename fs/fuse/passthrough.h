// SPDX-License-Identifier: MIT
// Passthrough (Linux 6.9): reads and mappings of an open file that the kernel serves from a file of the host.
#pragma once

#include "core/error.h"
#include "fs/files/open_file.h"
#include "fs/mounter/backing_ids.h"
#include "fs/tree/inode_table.h"
#include "util/mutex.h"

#include <cstdint>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <sys/types.h>
#include <sys/uio.h>
#include <utility>

namespace vmemfs {

/// Decides for each open file whether the kernel serves it, and keeps the kernel's rule: while one file of an
/// inode is open by passthrough, all others that are opened must be, with the same backing file.
///
/// Writes always come to us, because they have to pass the write gate: files that are open for writing only
/// keep to the rule in name, and reads and writes of them are requests (direct_io). A file that is open for
/// reading and writing could be mapped to write, past us, so it is not opened beside passthrough, nor the
/// other way round.
///
/// If the files that are open have another backing file than the memory has now, as those of a block that was
/// unplugged and replaced, no other file of the inode can be opened: mappings of it would be of the former
/// memory, whoever serves its reads. It takes another inode, and the former one stays theirs. Thread-safe.
class Passthrough {
public:
  /// Before the first file is opened. Without it, all files are served by requests.
  void use(std::unique_ptr<BackingIds> ids) { ids_ = std::move(ids); }

  /// An open file; its destruction closes it.
  class Lease {
  public:
    Lease() = default;
    Lease(Passthrough& passthrough, Ino ino) : passthrough_{&passthrough}, ino_{ino} {}
    Lease(Lease&& other) noexcept
        : passthrough_{std::exchange(other.passthrough_, nullptr)}, ino_{other.ino_} {}
    Lease& operator=(Lease&& other) noexcept {
      std::swap(passthrough_, other.passthrough_);
      std::swap(ino_, other.ino_);
      return *this;
    }
    Lease(const Lease&) = delete;
    Lease& operator=(const Lease&) = delete;
    ~Lease() {
      if (passthrough_ != nullptr) {
        passthrough_->close(ino_);
      }
    }

  private:
    Passthrough* passthrough_ = nullptr;
    Ino ino_ = 0;
  };

  struct Opened {
    Lease lease;
    std::int32_t backing_id = 0; ///< 0: no passthrough
    bool direct_io = true;       ///< reads and writes are requests
    bool replaced = false;       ///< it is not open, and takes another inode: see above
  };
  /// `flags` as of open(2); `granted`: by the kernel for this mount. Reports to the file how it is served.
  /// busy: see above.
  [[nodiscard]] Result<Opened> open(Ino ino, int flags, OpenFile& file, bool granted) EXCLUDES(mutex_);

private:
  /// The open files of an inode, which are all served in the same way.
  struct Inode {
    unsigned files = 0;
    std::int32_t id = 0; ///< 0: by requests
    dev_t device = 0;    ///< of the backing file, with `number`
    ino_t number = 0;
    std::string reason{}; ///< to whoever reads it by requests
  };

  [[nodiscard]] Result<Inode> begin(int flags, OpenFile& file, bool granted) REQUIRES(mutex_);
  [[nodiscard]] Result<Opened> join(Ino ino, Inode& inode, int flags, OpenFile& file) REQUIRES(mutex_);
  void close(Ino ino) EXCLUDES(mutex_);
  void forget(Ino ino) REQUIRES(mutex_); ///< must be known

  std::unique_ptr<BackingIds> ids_; ///< null: none
  Mutex mutex_;                     ///< also held while the mounter is asked, a second at most
  std::map<Ino, Inode> inodes_ GUARDED_BY(mutex_);
};

/// While it exists, an answer to an open request that this thread gives by libfuse, which knows nothing of
/// passthrough, names a backing file.
class OpenAnswer {
public:
  /// 0: the answer stays as it is.
  explicit OpenAnswer(std::int32_t backing_id);
  OpenAnswer(const OpenAnswer&) = delete;
  OpenAnswer& operator=(const OpenAnswer&) = delete;
  ~OpenAnswer();

  /// To be called before any answer is sent. `answer`: as libfuse has made it, a header and its data.
  static void complete(std::span<const iovec> answer);
};

} // namespace vmemfs
