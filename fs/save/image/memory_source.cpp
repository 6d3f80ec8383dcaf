// SPDX-License-Identifier: MIT
#include "fs/save/image/memory_source.h"

#include "core/text.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

namespace vmemfs {
namespace {

constexpr std::size_t kPage = 4096;
constexpr std::uint64_t kBlock = 512; ///< of st_blocks

} // namespace

Result<std::uint64_t> MemorySource::check_headers() const {
  std::array<std::byte, kPage> bytes{};
  if (const ssize_t first = ::pread(fd_.get(), bytes.data(), bytes.size(), 0); first <= 0) {
    return vm_failure(first < 0 ? errno : EIO, fmt::format("cannot read the headers of '{}'", name_));
  }
  const auto last = static_cast<off_t>(size_ - 1);
  const ssize_t count = ::pread(fd_.get(), bytes.data(), 2, last); // an error is that of the copy
  return count < 0 ? size_ : size_ - 1 + static_cast<std::uint64_t>(count);
}

Result<MemorySource> MemorySource::open(const MountedVm& vm, const SaveFormatInfo& format) {
  constexpr int kAttempts = 5;
  std::string name = fmt::format("{}/{}", printable(vm.path()), format.file);
  for (int attempt = 0; attempt < kAttempts; ++attempt) {
    // What is read once is not to go through the kernel's page cache, which takes longer and memory.
    auto fd = vm.open(std::string{format.file}, O_RDONLY | O_DIRECT);
    if (!fd) {
      return tl::unexpected{fd.error()};
    }
    struct stat status {};
    if (::fstat(fd->get(), &status) != 0) {
      return vm_failure(errno, fmt::format("cannot ask for the size of '{}'", name));
    }
    MemorySource source{std::move(*fd), name, static_cast<std::uint64_t>(status.st_size)};
    if (!format.has_headers) {
      return source;
    }
    const auto size = source.check_headers();
    if (!size) {
      return tl::unexpected{size.error()};
    }
    if (*size == source.size()) {
      return source;
    }
  }
  return fail(
      ErrorKind::busy, "save",
      fmt::format("cannot read '{}': the VM's memory map changes all the time; save it with --pause", name));
}

Result<UniqueFd> MemorySource::duplicate() const {
  UniqueFd copy{::fcntl(fd_.get(), F_DUPFD_CLOEXEC, 0)};
  if (!copy) {
    return fail_errno(errno, "save", fmt::format("cannot duplicate the descriptor of '{}'", name_));
  }
  return copy;
}

bool MemorySource::has_data(std::uint64_t begin, std::uint64_t end) {
  if (!sparse_ || (data_begin_ < end && begin < data_end_)) {
    return true;
  }
  if (begin < data_begin_) { // a hole up to there
    return false;
  }
  const off_t data = ::lseek(fd_.get(), static_cast<off_t>(begin), SEEK_DATA);
  if (data < 0 && errno == ENXIO) { // none up to the end
    data_begin_ = data_end_ = size_;
    return false;
  }
  const off_t hole = data < 0 ? -1 : ::lseek(fd_.get(), data, SEEK_HOLE);
  if (hole <= data) { // it reports none; or the VM has ended, which the read finds
    sparse_ = false;
    return true;
  }
  data_begin_ = static_cast<std::uint64_t>(data);
  data_end_ = static_cast<std::uint64_t>(hole);
  return data_begin_ < end;
}

Result<void> MemorySource::read(std::uint64_t offset, std::span<std::byte> target,
                                UnreadableRanges& unreadable) const {
  bool careful = false; // after an error, page by page up to the end
  const auto skip = [&](std::size_t size) {
    std::memset(target.data(), 0, size);
    unreadable.add({offset, offset + size});
    target = target.subspan(size);
    offset += size;
  };
  while (!target.empty()) {
    const std::size_t page = std::min<std::size_t>(target.size(), kPage - offset % kPage);
    const std::size_t size = careful ? page : target.size();
    const ssize_t count = ::pread(fd_.get(), target.data(), size, static_cast<off_t>(offset));
    if (count > 0) {
      target = target.subspan(static_cast<std::size_t>(count));
      offset += static_cast<std::uint64_t>(count);
    } else if (count == 0) { // the file has become shorter
      skip(target.size());
    } else if (errno == EIO && size > page) { // which page it is, only a read of that page alone says
      careful = true;
    } else if (errno == EIO) {
      skip(page);
    } else if (errno != EINTR) {
      return vm_failure(errno, fmt::format("cannot read '{}' at {:#x}", name_, offset));
    }
  }
  return {};
}

Result<std::uint64_t> image_bytes(const MountedVm& vm, const SaveFormatInfo& format) {
  const auto fd = vm.open(std::string{format.file}, O_RDONLY);
  if (!fd) {
    return tl::unexpected{fd.error()};
  }
  struct stat status {};
  if (::fstat(fd->get(), &status) != 0) {
    return vm_failure(errno, fmt::format("cannot ask for the size of '{}'", format.file));
  }
  const auto size = static_cast<std::uint64_t>(status.st_size);
  const std::uint64_t held = std::min(size, static_cast<std::uint64_t>(status.st_blocks) * kBlock);
  return held + (format.extra_part > 0 ? size / format.extra_part : 0);
}

} // namespace vmemfs
