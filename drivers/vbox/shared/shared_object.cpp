// SPDX-License-Identifier: MIT
#include "drivers/vbox/shared/shared_object.h"

#include "core/text.h"
#include "drivers/vbox/shared/byte_exchange.h"

#include <array>
#include <cerrno>
#include <fcntl.h>
#include <fmt/format.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>
#include <utility>

namespace vmemfs::vbox {
namespace {

constexpr std::string_view kOrigin = "vbox";
constexpr std::size_t kMaxName = 255;

/// Where glibc has the objects.
std::string path_of(std::string_view name) { return fmt::format("/dev/shm/{}", name); }

Result<void> check_name_form(std::string_view name) {
  if (name.empty() || name == "." || name == ".." || name.size() > kMaxName ||
      name.find('/') != std::string_view::npos || name.find('\0') != std::string_view::npos) {
    return fail(
        ErrorKind::invalid, kOrigin,
        fmt::format("there can be no shared memory '{}': a name has 1 to {} bytes and no '/'; FDP does "
                    "not work for a VM with such a name, so give the VM another one",
                    printable(name), kMaxName));
  }
  return {};
}

tl::unexpected<Error> cannot_open(int error, std::string_view name) {
  if (error == ENOENT) {
    return fail(ErrorKind::not_found, kOrigin,
                fmt::format("there is no shared memory '{}': start the VM of exactly this name with a "
                            "VirtualBox that has the FDP patch",
                            printable(name)));
  }
  if (error == ELOOP) {
    return fail(ErrorKind::permission, kOrigin,
                fmt::format("the shared memory '{}' is a symbolic link, which VirtualBox does not make; "
                            "remove it",
                            printable(name)));
  }
  return fail_errno(error, kOrigin, fmt::format("cannot open the shared memory '{}'", printable(name)));
}

Result<void> check_kind(const struct stat& status, std::string_view name, std::size_t size) {
  const auto refuse = [&](std::string_view why) {
    return fail(
        ErrorKind::permission, kOrigin,
        fmt::format("cannot use the shared memory '{}': {}; VirtualBox with the FDP patch makes no such "
                    "object",
                    printable(name), why));
  };
  if (!S_ISREG(status.st_mode)) {
    return refuse(S_ISLNK(status.st_mode) ? "it is a symbolic link" : "it is not a regular file");
  }
  if (status.st_nlink != 1) { // another user may have given it this name
    return refuse("it has another name, too");
  }
  if (status.st_size < static_cast<off_t>(size)) {
    return refuse(fmt::format("it has {} bytes, and at least {} are needed", status.st_size, size));
  }
  return {};
}

} // namespace

void SharedObject::Unmap::operator()(std::uint8_t* begin) const { ::munmap(begin, size); }

SharedObject::SharedObject(std::string name, std::size_t size, UniqueFd file, Mapping mapping, Id id,
                           uid_t owner)
    : name_{std::move(name)}, size_{size}, file_{std::move(file)}, mapping_{std::move(mapping)}, id_{id},
      owner_{owner} {}

/// First it is only referred to: opening a FIFO or a device can do something.
Result<SharedObject> SharedObject::open(std::string_view name, std::size_t size) {
  if (auto form = check_name_form(name); !form) {
    return tl::unexpected{std::move(form.error())};
  }
  const UniqueFd place{::open(path_of(name).c_str(), O_PATH | O_NOFOLLOW | O_CLOEXEC)};
  if (!place) {
    return cannot_open(errno, name);
  }
  struct stat status {};
  if (::fstat(place.get(), &status) != 0) {
    return cannot_open(errno, name);
  }
  if (auto kind = check_kind(status, name, size); !kind) {
    return tl::unexpected{std::move(kind.error())};
  }
  UniqueFd file{::open(fmt::format("/proc/self/fd/{}", place.get()).c_str(), O_RDWR | O_CLOEXEC)};
  if (!file) {
    return cannot_open(errno, name);
  }
  void* const begin = ::mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_SHARED, file.get(), 0);
  if (begin == MAP_FAILED) {
    return fail_errno(errno, kOrigin, fmt::format("cannot map the shared memory '{}'", printable(name)));
  }
  return SharedObject{std::string{name},
                      size,
                      std::move(file),
                      Mapping{static_cast<std::uint8_t*>(begin), Unmap{size}},
                      Id{status.st_dev, status.st_ino},
                      status.st_uid};
}

tl::unexpected<Error> SharedObject::removed() const {
  return fail(
      ErrorKind::vm_gone, kOrigin,
      fmt::format("the shared memory '{}' was removed or cut, so the VM has ended", printable(name_)));
}

Result<void> SharedObject::check() const {
  struct stat status {};
  if (::fstat(file_.get(), &status) != 0) {
    return fail_errno(errno, kOrigin, "cannot check the shared memory");
  }
  return status.st_nlink > 0 && status.st_size >= static_cast<off_t>(size_) ? Result<void>{} : removed();
}

Result<void> SharedObject::check_name() const {
  struct stat status {};
  if (::lstat(path_of(name_).c_str(), &status) != 0) {
    return errno == ENOENT ? removed() : check();
  }
  return Id{status.st_dev, status.st_ino} == id_ ? check() : removed();
}

Result<void> SharedObject::read(std::size_t offset, std::span<std::byte> bytes) const {
  const ssize_t got = ::pread(file_.get(), bytes.data(), bytes.size(), static_cast<off_t>(offset));
  if (got < 0) {
    return fail_errno(errno, kOrigin, "cannot read the shared memory");
  }
  return static_cast<std::size_t>(got) == bytes.size() ? Result<void>{} : removed();
}

/// An object that is cut between the two is made longer again, which costs its owner memory, and nobody else.
Result<void> SharedObject::write(std::size_t offset, std::span<const std::byte> bytes) const {
  if (auto checked = check(); !checked) {
    return checked;
  }
  const ssize_t put = ::pwrite(file_.get(), bytes.data(), bytes.size(), static_cast<off_t>(offset));
  if (put < 0) {
    return fail_errno(errno, kOrigin, "cannot write the shared memory");
  }
  return static_cast<std::size_t>(put) == bytes.size()
             ? Result<void>{}
             : fail(ErrorKind::source_failed, kOrigin, "cannot write the shared memory: /dev/shm is full");
}

Result<std::uint8_t> SharedObject::load(std::size_t offset) const {
  std::array<std::byte, 1> byte{};
  return read(offset, byte).map([&] { return static_cast<std::uint8_t>(byte[0]); });
}

Result<std::uint8_t> SharedObject::exchange(std::size_t offset, std::uint8_t value) const {
  const auto before = exchange_byte(mapping_.get() + offset, value);
  return before ? Result<std::uint8_t>{*before} : removed();
}

} // namespace vmemfs::vbox
