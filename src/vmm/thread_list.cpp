// SPDX-License-Identifier: MIT
#include "vmm/thread_list.h"

#include "core/text.h"

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstring>
#include <dirent.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

namespace vmemfs {
namespace {

/// "." and "..", and the links that every directory has.
constexpr std::size_t kOthers = 2;

} // namespace

ThreadList::ThreadList(pid_t pid)
    : directory_{::open(fmt::format("/proc/{}/task", pid).c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC)} {}

std::vector<pid_t> ThreadList::read(std::size_t limit) const { return read_from(0, limit); }

/// A position in the directory is that of a thread in the list, two more; a thread is a link of the
/// directory.
ThreadList::End ThreadList::end() const {
  constexpr int kTries = 3; // the newest may end in between
  End end;
  for (int i = 0; i < kTries; ++i) {
    struct stat attributes {};
    if (!directory_ || ::fstat(directory_.get(), &attributes) != 0 || attributes.st_nlink <= kOthers) {
      return {};
    }
    end.count = attributes.st_nlink - kOthers;
    const auto newest = read_from(end.count - 1, 2);
    if (newest.size() == 1) {
      end.newest = newest.front();
      return end;
    }
  }
  return end;
}

std::vector<pid_t> ThreadList::read_from(std::size_t index, std::size_t limit) const {
  std::vector<pid_t> threads;
  const auto position = static_cast<off_t>(index == 0 ? 0 : index + kOthers);
  if (!directory_ || ::lseek(directory_.get(), position, SEEK_SET) != position) {
    return threads;
  }
  constexpr std::size_t kBuffer = 4096;
  alignas(dirent64) std::array<char, kBuffer> buffer;
  while (threads.size() < limit) {
    const ssize_t size = ::getdents64(directory_.get(), buffer.data(), buffer.size());
    if (size <= 0) {
      break;
    }
    for (std::size_t at = 0; at < static_cast<std::size_t>(size) && threads.size() < limit;) {
      unsigned short length = 0;
      std::memcpy(&length, buffer.data() + at + offsetof(dirent64, d_reclen), sizeof length);
      if (const auto thread =
              parse_u64(buffer.data() + at + offsetof(dirent64, d_name))) { // not "." and ".."
        threads.push_back(static_cast<pid_t>(*thread));
      }
      at += length;
    }
  }
  return threads;
}

} // namespace vmemfs
