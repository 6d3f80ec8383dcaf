// SPDX-License-Identifier: MIT
// The least that a FUSE server can do: one file, each read of which is answered with bytes that are already
// there. What it takes is the kernel's and libfuse's part of a read of a mount. Usage: minimal_server
// MOUNTPOINT
#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fuse_lowlevel.h>
#include <memory>
#include <sys/stat.h>

namespace {

constexpr fuse_ino_t kFile = 2;
constexpr const char* kName = "bytes";
constexpr std::size_t kPage = 4096;
constexpr std::size_t kMaxRead = std::size_t{1} << 20U;
constexpr off_t kFileBytes = off_t{1} << 40U;
constexpr double kValidSeconds = 3600;

struct stat attributes_of(fuse_ino_t ino) {
  struct stat attributes {};
  attributes.st_ino = ino;
  attributes.st_mode = ino == kFile ? S_IFREG | 0400 : S_IFDIR | 0500;
  attributes.st_nlink = 1;
  attributes.st_size = ino == kFile ? kFileBytes : 0;
  return attributes;
}

void op_lookup(fuse_req_t request, fuse_ino_t /*parent*/, const char* name) {
  if (std::strcmp(name, kName) != 0) {
    fuse_reply_err(request, ENOENT);
    return;
  }
  fuse_entry_param entry{};
  entry.ino = kFile;
  entry.attr = attributes_of(kFile);
  entry.attr_timeout = kValidSeconds;
  entry.entry_timeout = kValidSeconds;
  fuse_reply_entry(request, &entry);
}

void op_getattr(fuse_req_t request, fuse_ino_t ino, fuse_file_info* /*info*/) {
  const struct stat attributes = attributes_of(ino);
  fuse_reply_attr(request, &attributes, kValidSeconds);
}

void op_open(fuse_req_t request, fuse_ino_t /*ino*/, fuse_file_info* info) {
  info->direct_io = 1;
  fuse_reply_open(request, info);
}

void op_read(fuse_req_t request, fuse_ino_t /*ino*/, std::size_t size, off_t /*offset*/,
             fuse_file_info* /*info*/) {
  // Written, as the kernel takes long to find a page of memory that never was.
  static const std::unique_ptr<char, decltype(&std::free)> bytes = [] {
    std::unique_ptr<char, decltype(&std::free)> made{static_cast<char*>(std::aligned_alloc(kPage, kMaxRead)),
                                                     &std::free};
    std::memset(made.get(), 1, kMaxRead);
    return made;
  }();
  fuse_reply_buf(request, bytes.get(), std::min(size, kMaxRead));
}

int serve(fuse_args& args, const char* mountpoint) {
  fuse_lowlevel_ops operations{};
  operations.lookup = op_lookup;
  operations.getattr = op_getattr;
  operations.open = op_open;
  operations.read = op_read;
  const std::unique_ptr<fuse_session, decltype(&fuse_session_destroy)> session{
      fuse_session_new(&args, &operations, sizeof(operations), nullptr), &fuse_session_destroy};
  if (session == nullptr || fuse_set_signal_handlers(session.get()) != 0 ||
      fuse_session_mount(session.get(), mountpoint) != 0) {
    return 1;
  }
  const std::unique_ptr<fuse_loop_config, decltype(&fuse_loop_cfg_destroy)> config{fuse_loop_cfg_create(),
                                                                                   &fuse_loop_cfg_destroy};
  fuse_session_loop_mt(session.get(), config.get());
  fuse_session_unmount(session.get());
  return 0;
}

} // namespace

int main(int argc, char** argv) {
  if (argc != 2) {
    std::fprintf(stderr, "usage: minimal_server MOUNTPOINT\n");
    return 2;
  }
  fuse_args args = FUSE_ARGS_INIT(1, argv);
  const int result = serve(args, argv[1]);
  fuse_opt_free_args(&args);
  return result;
}
