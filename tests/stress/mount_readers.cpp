// SPDX-License-Identifier: MIT
#include "stress/mount_readers.h"

#include "support/files.h"
#include "util/unique_fd.h"

#include <cerrno>
#include <cstddef>
#include <cstdlib>
#include <cstring>
#include <fcntl.h>
#include <filesystem>
#include <utility>

namespace vmemfs::test {
namespace {

constexpr std::size_t kPiece = 256 << 10;
constexpr std::uint64_t kMemory = 16 << 20;

bool is_memory(const std::string& file) {
  return file == "mem" || file == "mem_padded" || file == "mem.lime" || file == "core";
}

int read_at(int fd, std::uint64_t offset, std::size_t size) { return pread_at(fd, offset, size).error; }

int read_to_the_end(int fd) {
  std::vector<char> buffer(64 << 10);
  ssize_t size = 0;
  while ((size = ::read(fd, buffer.data(), buffer.size())) > 0) {
  }
  return size < 0 ? errno : 0;
}

} // namespace

MountReaders::MountReaders(std::string mountpoint, MountReadersOptions options)
    : mountpoint_{std::move(mountpoint)}, options_{std::move(options)} {
  for (unsigned i = 0; i < options_.threads; ++i) {
    threads_.emplace_back([this, i](const std::stop_token& stop) { run(stop, i + 1); });
  }
}

void MountReaders::stop() { threads_.clear(); }

std::map<std::pair<std::string, int>, std::uint64_t> MountReaders::outcomes() const {
  const std::scoped_lock lock{mutex_};
  return outcomes_;
}

std::vector<std::string> MountReaders::unfair() const {
  const std::scoped_lock lock{mutex_};
  return unfair_;
}

void MountReaders::run(const std::stop_token& stop, unsigned seed) {
  while (!stop.stop_requested()) {
    read_all_below(mountpoint_, stop, seed);
  }
}

void MountReaders::read_all_below(const std::string& path, const std::stop_token& stop, unsigned& dice) {
  std::error_code error;
  std::filesystem::directory_iterator entries{path, error};
  note("directory", error.value());
  for (; !error && entries != std::filesystem::directory_iterator{} && !stop.stop_requested();
       entries.increment(error)) {
    const std::string inner = entries->path();
    std::error_code gone;
    if (entries->is_directory(gone)) {
      read_all_below(inner, stop, dice);
    } else if (!inner.ends_with("/events")) { // a read of it waits
      read_one(inner, dice);
    }
  }
}

void MountReaders::read_one(const std::string& path, unsigned& dice) {
  std::this_thread::sleep_for(options_.pace);
  const std::string file = std::filesystem::path{path}.filename();
  const bool in_a_vm = !path.starts_with(mountpoint_ + "/.vmemfs/");
  constexpr int kSeldom = 10;
  if (file == "control" && in_a_vm && ::rand_r(&dice) % kSeldom == 0) {
    note(file, try_write(path, "pause ttl=100ms\n"));
  }
  const UniqueFd opened{::open(path.c_str(), O_RDONLY | O_CLOEXEC)};
  if (!opened) {
    note(file, errno);
  } else if (is_memory(file)) {
    const auto offset = static_cast<std::uint64_t>(::rand_r(&dice)) % kMemory;
    note(file, read_at(opened.get(), offset, kPiece));
  } else {
    note(file, read_to_the_end(opened.get()));
  }
}

/// An ended VM, a hole in memory, a monitor that is gone or in use by another reader of registers.
bool MountReaders::is_fair(const std::string& file, int error) const {
  static const std::set<int> anywhere{0, ENOENT, ENODEV};
  static const std::set<std::string> of_the_monitor{"regs", "virt", "virt_maps", "control"};
  const bool needs_monitor = of_the_monitor.contains(file);
  return anywhere.contains(error) || options_.also_fair.contains(error) ||
         ((file == "mem" || needs_monitor) && error == EIO) ||
         (needs_monitor && (error == EBUSY || error == ETIMEDOUT));
}

void MountReaders::note(const std::string& file, int error) {
  const std::scoped_lock lock{mutex_};
  ++outcomes_[{file, error}];
  if (!is_fair(file, error)) {
    unfair_.push_back(file + ": " + std::strerror(error));
  }
}

} // namespace vmemfs::test
