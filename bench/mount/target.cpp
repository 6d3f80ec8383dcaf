// SPDX-License-Identifier: MIT
#include "target.h"

#include <cerrno>
#include <fcntl.h>
#include <filesystem>
#include <mutex>
#include <stdexcept>
#include <sys/uio.h>
#include <system_error>
#include <unistd.h>

namespace vmemfs::bench {
namespace {

[[noreturn]] void give_up(const std::string& what) {
  throw std::system_error{errno, std::generic_category(), what};
}

} // namespace

FileTarget::FileTarget(const std::string& path)
    : path_{path}, file_{::open(path.c_str(), O_RDONLY | O_CLOEXEC)} {
  if (!file_) {
    give_up(path);
  }
}

void FileTarget::read(std::uint64_t offset, std::byte* buffer, std::size_t size) {
  const ssize_t done = ::pread(file_.get(), buffer, size, static_cast<off_t>(offset));
  if (done < 0) {
    give_up("pread of " + path_);
  }
  if (done != static_cast<ssize_t>(size)) {
    throw std::runtime_error{"a short read of " + path_};
  }
}

void ProcessTarget::read(std::uint64_t offset, std::byte* buffer, std::size_t size) {
  const iovec local{buffer, size};
  const iovec remote{reinterpret_cast<void*>(hva_ + offset), size};
  if (::process_vm_readv(pid_, &local, 1, &remote, 1, 0) != static_cast<ssize_t>(size)) {
    give_up("process_vm_readv");
  }
}

PmemsaveTarget::~PmemsaveTarget() {
  std::error_code ignored;
  std::filesystem::remove(path_, ignored);
}

void PmemsaveTarget::read(std::uint64_t offset, std::byte* buffer, std::size_t size) {
  static std::mutex one_at_a_time; // readers share the monitor and the file
  const std::lock_guard lock{one_at_a_time};
  monitor_.execute("pmemsave", {{"val", offset}, {"size", size}, {"filename", path_}});
  FileTarget{path_}.read(0, buffer, size);
}

} // namespace vmemfs::bench
