// SPDX-License-Identifier: MIT
#include "fs/fuse/operations.h"

#include "fs/fuse/fuse_reply.h"

#include <cerrno>
#include <climits>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace vmemfs {
namespace {

/// Time for which the kernel may remember names. The name of a VM that ends is invalidated at once.
constexpr double kNamesValidSeconds = 1.0;
/// Sizes and times change with the guest.
constexpr double kAttributesValidSeconds = 0.0;

FileSystem& file_system(fuse_req_t request) { return *static_cast<FileSystem*>(fuse_req_userdata(request)); }

/// The handle is an address: a read needs no lookup. The kernel does not release it while a request is
/// unanswered; the reference covers the time after the answer.
std::shared_ptr<OpenHandle> open_handle(const fuse_file_info* info) {
  return reinterpret_cast<OpenHandle*>(info->fh)->shared_from_this();
}

/// Carries out a request of an open file by `now(reply)`. `later()` returns the same for another thread: it
/// keeps what it needs.
template <typename Now, typename Later> void carry_out(const OpenHandle& handle, fuse_req_t request,
                                                       VmRequests::Kind kind, Now&& now, Later&& later) {
  if (handle.requests != nullptr) {
    handle.requests->carry_out(request, kind, now, later);
  } else {
    answer({request}, kind.operation, now);
  }
}

void read_from(FileSystem& files, OpenHandle& handle, FuseReply& reply, const ReadRequest& wanted) {
  if (wanted.for_mapping && !files.may_map(handle)) {
    reply.error(ErrorKind::source_failed);
    return;
  }
  if (wanted.for_mapping && handle.memory && !files.note_fill(handle)) {
    reply.error(ErrorKind::source_failed);
    return;
  }
  handle.file->read(reply, wanted);
}

void write_to(OpenFile& file, FuseReply& reply, std::string_view bytes, std::uint64_t offset) {
  const auto written = file.write(bytes, offset);
  if (written) {
    reply.written(*written);
  } else {
    reply.error(written.error().kind);
  }
}

static_assert(kRootIno == FUSE_ROOT_ID);

void op_init(void* /*userdata*/, fuse_conn_info* connection) {
  // Splicing replies costs more than it saves here: a 1 MiB reply with its header does not fit a
  // pipe, and libfuse then allocates and copies.
  connection->want &=
      ~static_cast<unsigned>(FUSE_CAP_SPLICE_READ | FUSE_CAP_SPLICE_WRITE | FUSE_CAP_SPLICE_MOVE);
  // Truncation comes with open, which distinguishes it from truncate(2).
  connection->want |= connection->capable & static_cast<unsigned>(FUSE_CAP_ATOMIC_O_TRUNC);
  // The kernel asks for attributes before it reads through its cache: see KernelPages.
  connection->want |= connection->capable & static_cast<unsigned>(FUSE_CAP_AUTO_INVAL_DATA);
  // Pages of mappings and of the kernel's cache are requested in the background: those that hang for one VM
  // must not use up what there is for all, by default 12. VmRequests limits the threads that they take.
  constexpr unsigned kMaxBackground = 65535;
  connection->max_background = kMaxBackground;
  connection->congestion_threshold = kMaxBackground;
}

/// Of guest memory, with the time of modification and the size that may be reported.
struct stat reported(FileSystem& files, Ino ino, struct stat attributes) {
  if (files.tree().traits(ino).value_or(FileTraits{}).guest_memory) {
    attributes.st_mtim = files.kernel_pages().report_mtime(ino, attributes.st_mtim);
    attributes.st_size =
        static_cast<off_t>(files.report_size(ino, static_cast<std::uint64_t>(attributes.st_size)));
  }
  return attributes;
}

void forget(FileSystem& files, Ino ino, std::uint64_t lookups) {
  if (files.tree().forget(ino, lookups)) {
    files.kernel_pages().forget(ino);
  }
}

void look_up(FileSystem& files, FuseReply& reply, fuse_ino_t parent, std::string_view name) {
  Tree& tree = files.tree();
  const auto found = tree.look_up(parent, name);
  if (!found) {
    reply.error(found.error().kind);
    return;
  }
  fuse_entry_param entry{};
  entry.ino = found->ino;
  entry.attr = reported(files, found->ino, found->attributes);
  entry.attr_timeout = kAttributesValidSeconds;
  entry.entry_timeout = kNamesValidSeconds;
  if (!reply.entry(entry)) {
    forget(files, found->ino, 1);
  }
}

void op_lookup(fuse_req_t request, fuse_ino_t parent, const char* name) {
  if (std::string_view{name}.size() > NAME_MAX) { // as statfs(2) tells it
    fuse_reply_err(request, ENAMETOOLONG);
    return;
  }
  FileSystem& files = file_system(request);
  const auto now = [&files, parent, name](FuseReply& reply) { look_up(files, reply, parent, name); };
  if (files.tree().waits_to_look_up(parent, name)) {
    files.requests({files.tree().vm(parent), false})->carry_out(request, {"lookup"}, now, [&] {
      return [&files, parent, kept = std::string{name}](FuseReply& reply) {
        look_up(files, reply, parent, kept);
      };
    });
  } else {
    answer({request}, "lookup", now);
  }
}

// Requests of this kind get no answer.
void op_forget(fuse_req_t request, fuse_ino_t ino, std::uint64_t lookups) {
  forget(file_system(request), ino, lookups);
  fuse_reply_none(request);
}

void op_forget_multi(fuse_req_t request, std::size_t count, fuse_forget_data* forgets) {
  for (const fuse_forget_data& one : std::span{forgets, count}) {
    forget(file_system(request), one.ino, one.nlookup);
  }
  fuse_reply_none(request);
}

// The tree is fixed: nothing is created, removed or renamed, whoever asks.

void op_mknod(fuse_req_t request, fuse_ino_t /*parent*/, const char* /*name*/, mode_t /*mode*/,
              dev_t /*device*/) {
  fuse_reply_err(request, EPERM);
}

void op_mkdir(fuse_req_t request, fuse_ino_t /*parent*/, const char* /*name*/, mode_t /*mode*/) {
  fuse_reply_err(request, EPERM);
}

void op_remove(fuse_req_t request, fuse_ino_t /*parent*/, const char* /*name*/) {
  fuse_reply_err(request, EPERM);
}

void op_symlink(fuse_req_t request, const char* /*target*/, fuse_ino_t /*parent*/, const char* /*name*/) {
  fuse_reply_err(request, EPERM);
}

void op_rename(fuse_req_t request, fuse_ino_t /*parent*/, const char* /*name*/, fuse_ino_t /*new_parent*/,
               const char* /*new_name*/, unsigned /*flags*/) {
  fuse_reply_err(request, EPERM);
}

void op_link(fuse_req_t request, fuse_ino_t /*ino*/, fuse_ino_t /*new_parent*/, const char* /*new_name*/) {
  fuse_reply_err(request, EPERM);
}

void op_create(fuse_req_t request, fuse_ino_t /*parent*/, const char* /*name*/, mode_t /*mode*/,
               fuse_file_info* /*info*/) {
  fuse_reply_err(request, EPERM);
}

void get_attributes(FileSystem& files, FuseReply& reply, fuse_ino_t ino, double valid_seconds) {
  const auto attributes = files.tree().attributes(ino);
  if (attributes) {
    reply.attributes(reported(files, ino, *attributes), valid_seconds);
  } else {
    reply.error(attributes.error().kind);
  }
}

/// The kernel is about to read the file through its page cache.
void get_attributes_to_read(FileSystem& files, FuseReply& reply, OpenHandle& handle) {
  if (const auto valid_seconds = files.check_pages(handle)) {
    get_attributes(files, reply, handle.ino, *valid_seconds);
  } else {
    reply.error(ErrorKind::source_failed);
  }
}

/// Those of the root never change, and the kernel needs them for each path.
double valid_seconds(Ino ino) { return ino == kRootIno ? kNamesValidSeconds : kAttributesValidSeconds; }

void op_getattr(fuse_req_t request, fuse_ino_t ino, fuse_file_info* info) {
  FileSystem& files = file_system(request);
  const auto handle = info != nullptr ? open_handle(info) : nullptr;
  if (handle == nullptr || !handle->cached) {
    answer({request}, "getattr",
           [&](FuseReply& reply) { get_attributes(files, reply, ino, valid_seconds(ino)); });
    return;
  }
  // Not by the threads for memory: it may wait for reads that these have to answer.
  auto get = [&files, handle](FuseReply& reply) { get_attributes_to_read(files, reply, *handle); };
  files.requests({files.tree().vm(ino), false})->carry_out(request, {"getattr"}, get, [&] { return get; });
}

void op_setattr(fuse_req_t request, fuse_ino_t ino, struct stat* /*wanted*/, int what,
                fuse_file_info* /*info*/) {
  answer({request}, "setattr", [&](FuseReply& reply) {
    const Tree& tree = file_system(request).tree();
    const auto attributes = tree.attributes(ino);
    if (!attributes) {
      reply.error(attributes.error().kind);
      return;
    }
    // `echo pause > control` truncates first.
    const auto traits = tree.traits(ino);
    const int harmless = FUSE_SET_ATTR_SIZE | FUSE_SET_ATTR_MTIME | FUSE_SET_ATTR_MTIME_NOW |
                         FUSE_SET_ATTR_ATIME | FUSE_SET_ATTR_ATIME_NOW | FUSE_SET_ATTR_CTIME;
    if (traits && traits->takes_commands && (what & ~harmless) == 0) {
      reply.attributes(*attributes, kAttributesValidSeconds);
    } else {
      reply.error(ErrorKind::not_permitted);
    }
  });
}

void open_directory(FileSystem& files, FuseReply& reply, fuse_ino_t ino, fuse_file_info info) {
  auto entries = files.tree().list(ino);
  if (!entries) {
    reply.error(entries.error().kind);
    return;
  }
  info.fh = files.directories().keep(std::move(*entries));
  if (!reply.opened(info)) {
    files.directories().close(info.fh);
  }
}

void op_opendir(fuse_req_t request, fuse_ino_t ino, fuse_file_info* info) {
  FileSystem& files = file_system(request);
  auto open = [&files, ino, wanted = *info](FuseReply& reply) { open_directory(files, reply, ino, wanted); };
  if (files.tree().waits_to_list(ino)) {
    files.requests({files.tree().vm(ino), false})->carry_out(request, {"opendir"}, open, [&] {
      return open;
    });
  } else {
    answer({request}, "opendir", open);
  }
}

void op_readdir(fuse_req_t request, fuse_ino_t ino, std::size_t size, off_t offset, fuse_file_info* info) {
  answer({request}, "readdir", [&](FuseReply& reply) {
    const auto listing = file_system(request).directories().get(info->fh);
    const auto& entries = *listing;
    std::vector<char> buffer(size);
    std::size_t used = 0;
    const auto add = [&](const char* name, fuse_ino_t number, mode_t mode, off_t next) {
      struct stat attributes {};
      attributes.st_ino = number;
      attributes.st_mode = mode;
      const std::size_t need =
          fuse_add_direntry(request, buffer.data() + used, buffer.size() - used, name, &attributes, next);
      if (need > buffer.size() - used) {
        return false;
      }
      used += need;
      return true;
    };
    constexpr off_t kDots = 2;
    bool room = true;
    for (off_t i = offset; room && i < static_cast<off_t>(entries.size()) + kDots; ++i) {
      if (i < kDots) {
        room = add(i == 0 ? "." : "..", ino, S_IFDIR, i + 1);
      } else {
        const Tree::Listed& entry = entries[static_cast<std::size_t>(i - kDots)];
        room = add(entry.name.c_str(), entry.ino, entry.is_directory ? S_IFDIR : S_IFREG, i + 1);
      }
    }
    reply.text({buffer.data(), used});
  });
}

void op_releasedir(fuse_req_t request, fuse_ino_t /*ino*/, fuse_file_info* info) {
  file_system(request).directories().close(info->fh);
  answer({request}, "releasedir", [](FuseReply& reply) { reply.ok(); });
}

/// EBUSY says little: `control` has the reason.
void refuse(FuseReply& reply, OpenFile& file, const Error& why) {
  if (why.kind == ErrorKind::busy) {
    file.note_refusal(why);
  }
  reply.error(why.kind);
}

void open_file(FileSystem& files, FuseReply& reply, fuse_ino_t ino, fuse_file_info info) {
  auto made = files.tree().open(ino, info.flags);
  if (!made) {
    reply.error(made.error().kind);
    return;
  }
  const std::shared_ptr<OpenFile> file = std::move(*made);
  const FileTraits traits = files.tree().traits(ino).value_or(FileTraits{});
  Passthrough::Opened passed;
  if (traits.backed) {
    auto opened = files.passthrough().open(ino, info.flags, *file, files.init_extension().passthrough());
    if (!opened) {
      refuse(reply, *file, opened.error());
      return;
    }
    if (opened->replaced) {
      files.tree().remove_name(ino);
      reply.stale();
      return;
    }
    passed = std::move(*opened);
  }
  FileSystem::Opened opened{ino, info.flags, traits.guest_memory};
  opened.cached = traits.guest_memory && passed.backing_id == 0 && files.can_cache(opened, *file);
  const auto handle =
      files.keep({files.tree().vm(ino), traits.guest_memory || traits.reads_memory}, opened, file);
  if (!handle) {
    refuse(reply, *file, handle.error());
    return;
  }
  // Else the kernel must not cache: guest memory changes, and without direct_io it would fill up a short read
  // with zeros.
  const bool cached = handle->cached;
  info.direct_io = passed.direct_io && !cached ? 1 : 0;
  // Else the kernel would drop all pages here, and wait for those that a VM does not give. It takes that for
  // no file that it serves itself, of which it has none.
  info.keep_cache = traits.guest_memory && passed.backing_id == 0 ? 1 : 0;
  info.fh = handle->number;
  open_handle(&info)->passthrough = std::move(passed.lease);
  const OpenAnswer answer{passed.backing_id};
  if (!reply.opened(info)) {
    files.close(info.fh);
  }
}

void op_open(fuse_req_t request, fuse_ino_t ino, fuse_file_info* info) {
  FileSystem& files = file_system(request);
  auto open = [&files, ino, wanted = *info](FuseReply& reply) { open_file(files, reply, ino, wanted); };
  const FileTraits traits = files.tree().traits(ino).value_or(FileTraits{});
  if (traits.waits_to_open || traits.guest_memory) {
    files.requests({files.tree().vm(ino), false})->carry_out(request, {"open"}, open, [&] { return open; });
  } else {
    answer({request}, "open", open);
  }
}

void op_release(fuse_req_t request, fuse_ino_t /*ino*/, fuse_file_info* info) {
  FileSystem& files = file_system(request);
  answer({request}, "release", [](FuseReply& reply) { reply.ok(); }); // nobody waits for the end of a hold
  files.close(info->fh);
}

void op_read(fuse_req_t request, fuse_ino_t /*ino*/, std::size_t size, off_t offset, fuse_file_info* info) {
  const auto handle = open_handle(info);
  // read(2) has a lock owner, the filling of pages has none.
  const ReadRequest wanted{
      .size = size, .offset = static_cast<std::uint64_t>(offset), .for_mapping = info->lock_owner == 0};
  FileSystem& files = file_system(request);
  carry_out(
      *handle, request, {"read", wanted.for_mapping ? RequestKind::for_mapping : RequestKind::ordinary},
      [&](FuseReply& reply) { read_from(files, *handle, reply, wanted); },
      [&] {
        return [&files, handle, wanted](FuseReply& reply) { read_from(files, *handle, reply, wanted); };
      });
}

void op_write(fuse_req_t request, fuse_ino_t /*ino*/, const char* bytes, std::size_t size, off_t offset,
              fuse_file_info* info) {
  if (info->writepage != 0) {
    // A page of a shared mapping of a file that takes commands; of guest memory there is none. It is no
    // command, and an error would be given to whoever reads the file next.
    fuse_reply_write(request, size);
    return;
  }
  const auto handle = open_handle(info);
  const std::string_view data{bytes, size};
  const auto at = static_cast<std::uint64_t>(offset);
  if (handle->writes_at_once) { // what waits for memory must not delay it: see BatchFile::write()
    answer({request}, "write", [&](FuseReply& reply) { write_to(*handle->file, reply, data, at); });
    return;
  }
  carry_out(
      *handle, request, {"write", handle->memory ? RequestKind::ordinary : RequestKind::command},
      [&](FuseReply& reply) { write_to(*handle->file, reply, data, at); },
      [&] {
        return [handle, kept = std::string{data}, at](FuseReply& reply) {
          write_to(*handle->file, reply, kept, at);
        };
      });
}

void op_lseek(fuse_req_t request, fuse_ino_t /*ino*/, off_t offset, int whence, fuse_file_info* info) {
  const auto handle = open_handle(info);
  auto seek = [handle, offset, whence](FuseReply& reply) {
    if (offset < 0) {
      reply.error(ErrorKind::past_end);
    } else {
      handle->file->seek(reply, static_cast<std::uint64_t>(offset), whence);
    }
  };
  carry_out(*handle, request, {"lseek"}, seek, [&] { return seek; });
}

void op_poll(fuse_req_t request, fuse_ino_t /*ino*/, fuse_file_info* info, fuse_pollhandle* handle) {
  const auto file = open_handle(info)->file;
  answer({request}, "poll", [&](FuseReply& reply) {
    file->poll(reply, handle != nullptr ? std::make_unique<FusePollHandle>(handle) : nullptr);
  });
}

} // namespace

const fuse_lowlevel_ops& operations() {
  static const fuse_lowlevel_ops kOperations = [] {
    fuse_lowlevel_ops ops{};
    ops.init = op_init;
    ops.lookup = op_lookup;
    ops.forget = op_forget;
    ops.forget_multi = op_forget_multi;
    ops.mknod = op_mknod;
    ops.mkdir = op_mkdir;
    ops.unlink = op_remove;
    ops.rmdir = op_remove;
    ops.symlink = op_symlink;
    ops.rename = op_rename;
    ops.link = op_link;
    ops.create = op_create;
    ops.getattr = op_getattr;
    ops.setattr = op_setattr;
    ops.opendir = op_opendir;
    ops.readdir = op_readdir;
    ops.releasedir = op_releasedir;
    ops.open = op_open;
    ops.release = op_release;
    ops.read = op_read;
    ops.write = op_write;
    ops.lseek = op_lseek;
    ops.poll = op_poll;
    return ops;
  }();
  return kOperations;
}

} // namespace vmemfs
