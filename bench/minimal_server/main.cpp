// SPDX-License-Identifier: MIT
// The least that a FUSE server can do: one file, each read of which is answered at once, without any check.
//
//   minimal_server MOUNTPOINT               with bytes that are already there, so that it takes what the
//                                           kernel and libfuse take
//   minimal_server MOUNTPOINT FILE          with those of a file, which it maps
//   minimal_server MOUNTPOINT PID ADDRESS   with those of a process, by process_vm_readv
#include <algorithm>
#include <cerrno>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fcntl.h>
#include <fuse_lowlevel.h>
#include <memory>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

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

/// What is read, see above.
struct Source {
  const char* mapping{}; ///< of the file, all of it; null if there is none
  std::uint64_t size{kFileBytes};
  pid_t pid{};             ///< 0: none
  std::uint64_t address{}; ///< of its first byte
};
Source source; // NOLINT(*-avoid-non-const-global-variables): set once, before the first request

/// Of this thread. Written, as the kernel takes long to find a page of memory that never was.
char* buffer() {
  thread_local const std::unique_ptr<char, decltype(&std::free)> kBytes = [] {
    std::unique_ptr<char, decltype(&std::free)> made{static_cast<char*>(std::aligned_alloc(kPage, kMaxRead)),
                                                     &std::free};
    std::memset(made.get(), 1, kMaxRead);
    return made;
  }();
  return kBytes.get();
}

void op_read(fuse_req_t request, fuse_ino_t /*ino*/, std::size_t size, off_t offset,
             fuse_file_info* /*info*/) {
  const auto begin = std::min(static_cast<std::uint64_t>(offset), source.size);
  size = std::min({size, kMaxRead, source.size - begin});
  if (source.mapping != nullptr) {
    fuse_reply_buf(request, source.mapping + begin, size);
    return;
  }
  if (source.pid != 0) {
    const iovec local{buffer(), size};
    // NOLINTNEXTLINE(*-reinterpret-cast,performance-no-int-to-ptr): an address of another process
    const iovec remote{reinterpret_cast<void*>(source.address + begin), size};
    if (::process_vm_readv(source.pid, &local, 1, &remote, 1, 0) != static_cast<ssize_t>(size)) {
      fuse_reply_err(request, EIO);
      return;
    }
  }
  fuse_reply_buf(request, buffer(), size);
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

/// False if it cannot be mapped.
bool map_file(const char* path) {
  const int file = ::open(path, O_RDONLY | O_CLOEXEC);
  if (file < 0) {
    return false;
  }
  const off_t end = ::lseek(file, 0, SEEK_END);
  void* const bytes =
      end > 0 ? ::mmap(nullptr, static_cast<std::size_t>(end), PROT_READ, MAP_SHARED, file, 0) : MAP_FAILED;
  ::close(file);
  if (bytes == MAP_FAILED) {
    return false;
  }
  source.mapping = static_cast<const char*>(bytes);
  source.size = static_cast<std::uint64_t>(end);
  return true;
}

} // namespace

int main(int argc, char** argv) {
  if (argc < 2 || argc > 4) {
    std::fprintf(stderr, "usage: minimal_server MOUNTPOINT [FILE | PID ADDRESS]\n");
    return 2;
  }
  if (argc == 3 && !map_file(argv[2])) {
    std::perror(argv[2]);
    return 1;
  }
  if (argc == 4) {
    source.pid = static_cast<pid_t>(std::strtol(argv[2], nullptr, 0));
    source.address = std::strtoull(argv[3], nullptr, 0);
  }
  fuse_args args = FUSE_ARGS_INIT(1, argv);
  const int result = serve(args, argv[1]);
  fuse_opt_free_args(&args);
  return result;
}
