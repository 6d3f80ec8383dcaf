// SPDX-License-Identifier: MIT
#include "fs/fuse/passthrough.h"

#include <cstddef>
#include <cstring>
#include <fcntl.h>
#include <fmt/format.h>
#include <linux/fuse.h>
#include <string>
#include <sys/stat.h>

namespace vmemfs {
namespace {

constexpr std::string_view kOrigin = "fs";

constexpr std::string_view kOpenForWriting = "the file was opened for writing";

bool writes(int flags) { return (flags & O_ACCMODE) != O_RDONLY; }

/// FOPEN_PASSTHROUGH; not in the headers of Debian 12.
constexpr std::uint32_t kOpenPassthrough = 1U << 7U;

// NOLINTNEXTLINE(cppcoreguidelines-avoid-non-const-global-variables): one OpenAnswer's
thread_local std::int32_t id_of_next_answer = 0;

Result<struct stat> status_of(const UniqueFd& file) {
  struct stat status {};
  if (::fstat(file.get(), &status) != 0) {
    return fail(ErrorKind::source_failed, kOrigin, "cannot examine the memory file");
  }
  return status;
}

} // namespace

Result<Passthrough::Opened> Passthrough::open(Ino ino, int flags, OpenFile& file, bool granted) {
  const MutexLock lock{mutex_};
  if (!inodes_.contains(ino)) {
    auto begun = begin(flags, file, granted);
    inodes_.emplace(ino, begun ? std::move(*begun) : Inode{.reason = std::move(begun.error().text)});
  }
  Inode& inode = inodes_[ino];
  if (inode.id != 0) {
    auto joined = join(ino, inode, flags, file);
    if (inode.files == 0) { // it was to be the first
      forget(ino);
    }
    return joined;
  }
  file.note_service(fmt::format("requests: {}", writes(flags) ? kOpenForWriting : inode.reason));
  ++inode.files;
  return Opened{Lease{*this, ino}};
}

/// The first file that is open. An error: the reason why it is not passed through.
Result<Passthrough::Inode> Passthrough::begin(int flags, OpenFile& file, bool granted) {
  if (!granted || ids_ == nullptr) {
    return fail(ErrorKind::unsupported, kOrigin, "the kernel does no passthrough, which takes Linux 6.9");
  }
  if (writes(flags)) {
    return fail(ErrorKind::unsupported, kOrigin,
                "somebody has the file open for writing; open it again when nobody has");
  }
  const auto backing = file.open_backing();
  if (!backing) {
    return tl::unexpected{backing.error()};
  }
  const auto status = status_of(*backing);
  if (!status) {
    return tl::unexpected{status.error()};
  }
  return ids_->open(backing->get()).map([&](std::int32_t id) {
    return Inode{0, id, status->st_dev, status->st_ino};
  });
}

/// One more file, beside those that the kernel serves.
Result<Passthrough::Opened> Passthrough::join(Ino ino, Inode& inode, int flags, OpenFile& file) {
  const auto backing = file.open_backing();
  if (!backing && backing.error().kind == ErrorKind::vm_gone) {
    return tl::unexpected{backing.error()};
  }
  const auto status = backing ? status_of(*backing) : Result<struct stat>{tl::unexpected{backing.error()}};
  if (!status || status->st_dev != inode.device || status->st_ino != inode.number) {
    return Opened{.lease = {}, .replaced = true};
  }
  if ((flags & O_ACCMODE) == O_RDWR) {
    return fail(
        ErrorKind::busy, kOrigin,
        "cannot open this file for reading and writing: somebody has it open for reading, and the kernel "
        "serves that (passthrough); open it for writing only, or close it there first");
  }
  ++inode.files;
  file.note_service(writes(flags) ? fmt::format("requests: {}", kOpenForWriting) : "passthrough");
  return Opened{Lease{*this, ino}, inode.id, writes(flags)};
}

void Passthrough::close(Ino ino) {
  const MutexLock lock{mutex_};
  const auto found = inodes_.find(ino);
  if (found != inodes_.end() && --found->second.files == 0) {
    forget(ino);
  }
}

void Passthrough::forget(Ino ino) {
  const auto found = inodes_.find(ino);
  if (found->second.id != 0) {
    ids_->close(found->second.id);
  }
  inodes_.erase(found);
}

OpenAnswer::OpenAnswer(std::int32_t backing_id) { id_of_next_answer = backing_id; }

OpenAnswer::~OpenAnswer() { id_of_next_answer = 0; }

/// The id is the last word of the answer, which older headers have as padding.
void OpenAnswer::complete(std::span<const iovec> answer) {
  fuse_out_header header{};
  fuse_open_out open{};
  if (id_of_next_answer == 0 || answer.size() != 2 || answer[0].iov_len != sizeof(header) ||
      answer[1].iov_len != sizeof(open)) {
    return;
  }
  std::memcpy(&header, answer[0].iov_base, sizeof(header));
  if (header.error != 0) {
    return;
  }
  std::memcpy(&open, answer[1].iov_base, sizeof(open));
  open.open_flags |= kOpenPassthrough;
  std::memcpy(reinterpret_cast<std::byte*>(&open) + sizeof(open) - sizeof(id_of_next_answer),
              &id_of_next_answer, sizeof(id_of_next_answer));
  std::memcpy(answer[1].iov_base, &open, sizeof(open));
}

} // namespace vmemfs
