// SPDX-License-Identifier: MIT
#include "drivers/leechcore/wire/shared_area.h"

#include <cerrno>
#include <fcntl.h>
#include <string_view>
#include <sys/mman.h>
#include <sys/stat.h>
#include <utility>

namespace vmemfs::leechcore {
namespace {

constexpr std::string_view kOrigin = "leechcore";

} // namespace

Result<SharedMapping> SharedMapping::create() {
  UniqueFd fd{::memfd_create("vmemfs-leechcore", MFD_CLOEXEC | MFD_ALLOW_SEALING)};
  if (!fd || ::ftruncate(fd.get(), sizeof(SharedArea)) != 0 ||
      ::fcntl(fd.get(), F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) != 0) {
    return fail_errno(errno, kOrigin, "cannot make memory that is shared with the worker process");
  }
  return map(std::move(fd));
}

Result<SharedMapping> SharedMapping::open(UniqueFd fd) {
  struct stat status {};
  if (::fstat(fd.get(), &status) != 0 || status.st_size != static_cast<off_t>(sizeof(SharedArea))) {
    return fail(ErrorKind::invalid, kOrigin, "the shared memory has another size");
  }
  return map(std::move(fd));
}

Result<SharedMapping> SharedMapping::map(UniqueFd fd) {
  void* const at = ::mmap(nullptr, sizeof(SharedArea), PROT_READ | PROT_WRITE, MAP_SHARED, fd.get(), 0);
  if (at == MAP_FAILED) {
    return fail_errno(errno, kOrigin, "cannot map the memory that is shared with the worker process");
  }
  return SharedMapping{std::move(fd), static_cast<SharedArea*>(at)};
}

SharedMapping::SharedMapping(UniqueFd fd, SharedArea* area) : fd_{std::move(fd)}, area_{area} {}

SharedMapping::SharedMapping(SharedMapping&& other) noexcept
    : fd_{std::move(other.fd_)}, area_{std::exchange(other.area_, nullptr)} {}

SharedMapping::~SharedMapping() {
  if (area_ != nullptr) {
    ::munmap(area_, sizeof(SharedArea));
  }
}

} // namespace vmemfs::leechcore
