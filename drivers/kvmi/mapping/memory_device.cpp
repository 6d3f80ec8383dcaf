// SPDX-License-Identifier: MIT
#include "drivers/kvmi/mapping/memory_device.h"

#include "core/text.h"

#include <array>
#include <cerrno>
#include <charconv>
#include <fcntl.h>
#include <fmt/format.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <utility>

namespace vmemfs::kvmi {
namespace {

constexpr std::string_view kOrigin = "kvmi";

/// What a failed attempt to map a page means for the next ones.
ErrorKind kind_of_map_errno(int os_errno) {
  switch (os_errno) {
  case EAGAIN:
  case EBUSY:
  case EINTR:
  case ENOMEM: return ErrorKind::busy;
  case ENODEV: // no hypercall
  case ENOTTY:
  case ENOSYS:
  case EOPNOTSUPP:
  case EPERM:
  case EACCES:
  case EBADF: return ErrorKind::unsupported;
  default: return ErrorKind::bad_page;
  }
}

tl::unexpected<Error> not_mapped(int os_errno, Gpa page) {
  const Error error = fail_errno(os_errno, kOrigin, fmt::format("cannot map {:#x}", page.value())).value();
  return tl::unexpected{Error{kind_of_map_errno(os_errno), error.origin, error.text}};
}

/// The 16 bytes of a uuid as printed.
std::array<std::uint8_t, 16> uuid_bytes(std::string_view text) {
  std::string digits;
  for (const char c : text) {
    if (c != '-') {
      digits += c;
    }
  }
  std::array<std::uint8_t, 16> bytes{};
  for (std::size_t i = 0; i < bytes.size() && 2 * i + 2 <= digits.size(); ++i) {
    std::from_chars(&digits[2 * i], &digits[2 * i] + 2, bytes.at(i), 16);
  }
  return bytes;
}

/// One page of ours, touched and locked, as the first ABI wants it. Null: errno says why.
std::byte* make_local_page() {
  void* const page =
      ::mmap(nullptr, kPageSize, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
  if (page == MAP_FAILED) {
    return nullptr;
  }
  // Neither a child process nor a core dump is to have the guest's page.
  static_cast<void>(::madvise(page, kPageSize, MADV_DONTFORK));
  static_cast<void>(::madvise(page, kPageSize, MADV_DONTDUMP));
  if (::mlock(page, kPageSize) != 0) {
    const int why = errno;
    ::munmap(page, kPageSize);
    errno = why;
    return nullptr;
  }
  *static_cast<volatile std::byte*>(page) = std::byte{0};
  return static_cast<std::byte*>(page);
}

} // namespace

Result<std::unique_ptr<MemoryDevice>> MemoryDevice::open(const std::string& path, std::string_view uuid) {
  UniqueFd file{::open(path.c_str(), O_RDWR | O_CLOEXEC | O_NONBLOCK | O_NOCTTY)};
  if (!file) {
    return fail_errno(errno, kOrigin, fmt::format("cannot open '{}'", printable(path)));
  }
  if (::ioctl(file.get(), second_abi::kUnmap, 0UL) == 0 || errno != ENOTTY) {
    const auto bytes = uuid_bytes(uuid);
    if (::ioctl(file.get(), second_abi::kStart, bytes.data()) != 0) {
      return fail_errno(errno, kOrigin, fmt::format("cannot use '{}' for the VM", printable(path)));
    }
    return std::unique_ptr<MemoryDevice>{new MemoryDevice{std::move(file), true}};
  }
  if (::ioctl(file.get(), first_abi::kUnmap, 0UL) != 0 && errno == ENOTTY) {
    return fail(ErrorKind::unsupported, kOrigin,
                fmt::format("cannot use '{}': it is not the device of KVM-VMI's kernels", printable(path)));
  }
  return std::unique_ptr<MemoryDevice>{new MemoryDevice{std::move(file), false}};
}

Result<DeviceRegion> MemoryDevice::map(const MapToken& token, Gpa page, std::uint64_t max_bytes) {
  return is_second_ ? map_second(token, page, max_bytes) : map_first(token, page);
}

Result<DeviceRegion> MemoryDevice::map_first(const MapToken& token, Gpa page) {
  std::byte* const local = make_local_page();
  if (local == nullptr) {
    return not_mapped(errno == EPERM ? ENOMEM : errno, page); // the limit of locked memory
  }
  first_abi::Map request{token, page.value(), reinterpret_cast<std::uintptr_t>(local)};
  if (::ioctl(file_.get(), first_abi::kMap, &request) != 0) {
    const int why = errno;
    ::munmap(local, kPageSize);
    return not_mapped(why, page);
  }
  static_cast<void>(::mprotect(local, kPageSize, PROT_READ)); // no mistake of ours may write to the guest
  return DeviceRegion{{page, page + kPageSize}, local};
}

Result<DeviceRegion> MemoryDevice::map_second(const MapToken& token, Gpa page, std::uint64_t max_bytes) {
  second_abi::Map request{token, page.value(), 0};
  // EALREADY: the region is there already.
  if (::ioctl(file_.get(), second_abi::kMap, &request) != 0 && errno != EALREADY) {
    return not_mapped(errno, page);
  }
  const Gpa begin{request.gpa};
  const bool is_sane = begin <= page && begin.page_offset() == 0 && request.length % kPageSize == 0 &&
                       request.length <= kGpaLimit && request.length > page - begin;
  if (!is_sane || request.length > max_bytes) {
    static_cast<void>(::ioctl(file_.get(), second_abi::kUnmap, request.gpa));
    return fail(is_sane ? ErrorKind::bad_page : ErrorKind::source_failed, kOrigin,
                fmt::format("cannot map {:#x}: the device gave {} bytes at {:#x}", page.value(),
                            request.length, request.gpa));
  }
  void* const address =
      ::mmap(nullptr, request.length, PROT_READ, MAP_SHARED, file_.get(), static_cast<off_t>(request.gpa));
  if (address == MAP_FAILED) {
    const int why = errno;
    static_cast<void>(::ioctl(file_.get(), second_abi::kUnmap, request.gpa));
    return not_mapped(why, page);
  }
  static_cast<void>(::madvise(address, request.length, MADV_DONTFORK));
  static_cast<void>(::madvise(address, request.length, MADV_DONTDUMP));
  return DeviceRegion{{begin, begin + request.length}, static_cast<std::byte*>(address)};
}

void MemoryDevice::unmap(const DeviceRegion& region) {
  if (is_second_) {
    ::munmap(region.address, region.range.size());
    static_cast<void>(::ioctl(file_.get(), second_abi::kUnmap, region.range.begin.value()));
  } else {
    static_cast<void>(
        ::ioctl(file_.get(), first_abi::kUnmap, reinterpret_cast<std::uintptr_t>(region.address)));
    ::munmap(region.address, region.range.size());
  }
}

} // namespace vmemfs::kvmi
