// SPDX-License-Identifier: MIT
// A mapping of a file, accessed without the risk of a signal.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <optional>
#include <span>
#include <sys/mman.h>
#include <sys/uio.h>
#include <sys/utsname.h>
#include <unistd.h>
#include <utility>
#include <vector>

namespace vmemfs::test {

class Mapping {
public:
  /// `flags`: MAP_PRIVATE or MAP_SHARED, and further ones. See bad().
  Mapping(int file, std::uint64_t offset, std::size_t size, int flags, int protection = PROT_READ)
      : begin_{::mmap(nullptr, size, protection, flags, file, static_cast<off_t>(offset))}, size_{size} {}
  ~Mapping() {
    if (!bad()) {
      ::munmap(begin_, size_);
    }
  }
  Mapping(const Mapping&) = delete;
  Mapping& operator=(const Mapping&) = delete;

  /// mmap() failed; errno is its error as long as nothing else changes it.
  [[nodiscard]] bool bad() const { return begin_ == MAP_FAILED; }
  /// Its first byte, where an access of a page that cannot be got is a SIGBUS.
  [[nodiscard]] const std::byte* data() const { return static_cast<const std::byte*>(begin_); }

  /// Nothing if an access would be a SIGBUS: in a system call, it is an error.
  [[nodiscard]] std::optional<std::vector<std::byte>> read(std::uint64_t at, std::size_t size) const {
    std::vector<std::byte> bytes(size);
    const iovec local{bytes.data(), size};
    const iovec remote{address(at), size};
    const auto got = ::process_vm_readv(::getpid(), &local, 1, &remote, 1, 0);
    return got == static_cast<ssize_t>(size) ? std::optional{bytes} : std::nullopt;
  }
  [[nodiscard]] bool write(std::uint64_t at, std::span<const std::byte> bytes) {
    std::vector<std::byte> copy{bytes.begin(), bytes.end()};
    const iovec local{copy.data(), copy.size()};
    const iovec remote{address(at), copy.size()};
    return ::process_vm_writev(::getpid(), &local, 1, &remote, 1, 0) == static_cast<ssize_t>(copy.size());
  }

private:
  [[nodiscard]] void* address(std::uint64_t at) const { return static_cast<std::byte*>(begin_) + at; }

  void* begin_;
  std::size_t size_;
};

/// Whether the kernel can map files with direct_io shared.
inline bool kernel_maps_shared() {
  constexpr std::pair kSince{6, 6};
  utsname name{};
  std::pair<int, int> release{};
  // NOLINTNEXTLINE(cert-err34-c): a release that is not understood is one that cannot
  return ::uname(&name) == 0 && std::sscanf(name.release, "%d.%d", &release.first, &release.second) == 2 &&
         release >= kSince;
}
inline constexpr const char* kNotShared = "before Linux 6.6, files with direct_io cannot be mapped shared";

} // namespace vmemfs::test
