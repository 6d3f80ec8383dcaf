// SPDX-License-Identifier: MIT
// The callbacks of libfuse: decode the kernel's requests, which the tree and its files answer.
#pragma once

#include "fs/fuse/init_extension.h"
#include "fs/fuse/kernel_pages.h"
#include "fs/fuse/open_directories.h"
#include "fs/fuse/passthrough.h"
#include "fs/fuse/request_table.h"
#include "fs/fuse/vm_requests.h"
#include "fs/tree/tree.h"
#include "util/mutex.h"

#include <atomic>
#include <chrono>
#include <compare>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <fuse_lowlevel.h>
#include <map>
#include <memory>
#include <optional>
#include <unordered_map>

namespace vmemfs {

/// A file as the kernel has it open. Held by shared_ptr: a thread may work on a request of it that was given
/// up, after the kernel has released it.
struct OpenHandle : std::enable_shared_from_this<OpenHandle> {
  std::shared_ptr<OpenFile> file;
  std::shared_ptr<VmRequests> requests; ///< null: not of a VM, so no request waits
  bool memory = false;                  ///< of a VM
  bool writes_at_once = false;          ///< of a VM, but a write waits for nothing
  Ino ino = 0;
  Passthrough::Lease passthrough{};
  bool reads_and_writes = false;   ///< so that it could be mapped to write
  bool cached = false;             ///< read through the kernel's page cache
  std::atomic<bool> mapped{false}; ///< the kernel gets pages through it; stays true
};

/// The userdata of the FUSE session. Owns the open files, so that files that the kernel never released (as
/// when a mount is torn down) are closed with it. Thread-safe.
class FileSystem {
public:
  /// `shared_mappings`: if the kernel can, and with them the rule of keep().
  FileSystem(Tree& tree, bool shared_mappings) : tree_{tree}, init_extension_{shared_mappings} {}

  [[nodiscard]] Tree& tree() { return tree_; }
  [[nodiscard]] InitExtension& init_extension() { return init_extension_; }
  [[nodiscard]] Passthrough& passthrough() { return passthrough_; }

  /// Whose share of the threads a file's requests take. The memory files of a VM have one, and its other
  /// files have another one: commands must reach a VM whose memory does not answer.
  struct Share {
    VmId vm; ///< Node::kMountNode: none, as they wait for no VM
    bool memory;
    friend auto operator<=>(const Share&, const Share&) = default;
  };
  struct Opened {
    Ino ino;
    int flags;           ///< of open(2)
    bool guest_memory;   ///< as of FileTraits
    bool cached = false; ///< to be read through the kernel's page cache
  };
  struct Kept {
    std::uint64_t number; ///< under which the kernel knows the file; valid until close()
    bool cached;          ///< as `opened` says, unless other open files of the inode forbid it
  };
  /// Keeps a file that was opened.
  ///
  /// If the kernel can map files shared, it lets a file of memory that is open for reading and writing be
  /// mapped to write: it would show what is written there to all who map the file, and write whole pages
  /// back, which are stale. A mapping cannot be refused, but its pages can. So at any time a file is either
  /// mapped or open for reading and writing; the later of both is refused, here as `busy`. A file that is
  /// read through the kernel's page cache counts as mapped.
  [[nodiscard]] Result<Kept> keep(Share share, Opened opened, std::shared_ptr<OpenFile> file)
      EXCLUDES(mutex_);
  void close(std::uint64_t handle) EXCLUDES(mutex_);

  /// Carries out what waits for a VM before a file is open.
  [[nodiscard]] std::shared_ptr<VmRequests> requests(Share share) EXCLUDES(mutex_);

  /// Whether the kernel may get pages of the file for its cache, by that rule. Waits up to 0.1 s for files
  /// that were just closed.
  [[nodiscard]] bool may_map(OpenHandle& handle) EXCLUDES(mutex_);

  /// Whether a file that is being opened can be read through the kernel's page cache: it wants to be, its
  /// opener too (no O_DIRECT), nobody can write there, and the kernel has no stale page of it. May wait for
  /// pages that are to come.
  [[nodiscard]] bool can_cache(const Opened& opened, OpenFile& file) EXCLUDES(mutex_);
  /// To be called when the kernel asks for the attributes of a file that is read through its page cache, as
  /// it does before a read: how long it may go without asking. nullopt: stale pages cannot be dropped now.
  [[nodiscard]] std::optional<double> check_pages(OpenHandle& handle) EXCLUDES(mutex_);
  /// A page of an open file is about to be read for the kernel's cache. False: it must not get there, as
  /// other files of the inode that are read through the cache have other bytes.
  [[nodiscard]] bool note_fill(OpenHandle& handle);
  [[nodiscard]] KernelPages& kernel_pages() { return kernel_pages_; }
  [[nodiscard]] OpenDirectories& directories() { return directories_; }
  /// The size of a file of memory that may be reported, see KernelPages::report_size().
  [[nodiscard]] std::uint64_t report_size(Ino ino, std::uint64_t now) EXCLUDES(mutex_);
  /// Set once, before the first request: has the kernel drop its pages of a file, as Session::forget_pages().
  void set_page_dropper(std::function<void(Ino)> drop) { drop_pages_of_ = std::move(drop); }
  /// The same: as Session::grow().
  void set_grower(std::function<void(Ino, std::uint64_t)> grow) { grow_ = std::move(grow); }

  /// The VM is gone: requests that wait for it are answered.
  void end_requests(VmId vm) EXCLUDES(mutex_);
  /// The mount ends: all requests that wait for a VM are answered, and those that come.
  void end_requests() { table_.end(); }

  /// Runs `drop`, which has the kernel drop pages of the VM's memory, for which the kernel waits for those
  /// that are still to come. False, and nothing is done, if one of them has taken long already. If it takes
  /// long all the same, such pages are given up: whoever touched them gets a bus error.
  [[nodiscard]] bool drop_pages(VmId vm, const std::function<void()>& drop) EXCLUDES(mutex_);

  /// The same for pages that are not stale, only growing old: false, and nothing is done, while any page is
  /// awaited. One that is asked for afterwards delays the kernel, and is not given up.
  [[nodiscard]] bool drop_kept_pages(VmId vm, const std::function<void()>& drop) EXCLUDES(mutex_);

  /// The mount ends: from now on the kernel gets no page of guest memory to keep. Whoever touches one in a
  /// mapping gets a bus error.
  void end_caching() { caching_ended_ = true; }
  /// drop_pages() after that: pages that are awaited are given up at once.
  void drop_last_pages(VmId vm, const std::function<void()>& drop) EXCLUDES(mutex_);

  /// Calls `unused` once, as soon as no file of a VM is open: now, or on the thread that closes the last one.
  void when_unused(std::function<void()> unused) EXCLUDES(mutex_);

private:
  [[nodiscard]] std::shared_ptr<VmRequests> requests_of(Share share) REQUIRES(mutex_);
  void forget_uses(const OpenHandle& closed) REQUIRES(mutex_);
  [[nodiscard]] bool is_unused() const REQUIRES(mutex_) { return files_of_vms_ == 0; }
  [[nodiscard]] bool drop_stale_pages(Ino ino, KernelPages::Epoch epoch) EXCLUDES(mutex_);
  void drop_while_answering(const std::shared_ptr<const VmRequests>& memory,
                            std::chrono::milliseconds patience, const std::function<void()>& drop);
  [[nodiscard]] std::shared_ptr<const VmRequests> memory_requests(VmId vm) const EXCLUDES(mutex_);

  Tree& tree_;
  InitExtension init_extension_;
  KernelPages kernel_pages_;
  std::atomic<bool> caching_ended_{false};
  std::function<void(Ino)> drop_pages_of_;
  std::function<void(Ino, std::uint64_t)> grow_;
  Passthrough passthrough_; ///< before the open files, which use it
  OpenDirectories directories_;
  RequestTable table_;
  RequestThreads threads_;
  mutable Mutex mutex_;
  std::map<Share, std::weak_ptr<VmRequests>> requests_ GUARDED_BY(mutex_);
  std::map<std::uint64_t, std::shared_ptr<OpenHandle>> open_files_ GUARDED_BY(mutex_);
  std::size_t files_of_vms_ GUARDED_BY(mutex_) = 0; ///< of the open ones
  /// Open files of one inode of memory.
  struct Uses {
    std::size_t open = 0;
    std::size_t reading_and_writing = 0;
    std::size_t mapped = 0;
  };
  std::unordered_map<Ino, Uses> uses_ GUARDED_BY(mutex_);
  std::size_t max_requests_ GUARDED_BY(mutex_) = 64; ///< then those without a file are dropped
  std::function<void()> unused_ GUARDED_BY(mutex_);  ///< not called while the lock is held
};

/// libfuse's table; the userdata must be a FileSystem.
[[nodiscard]] const fuse_lowlevel_ops& operations();

} // namespace vmemfs
