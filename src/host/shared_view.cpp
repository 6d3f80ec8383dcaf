// SPDX-License-Identifier: MIT
#include "host/shared_view.h"

#include "core/gpa.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <sys/mman.h>

namespace vmemfs {

SharedView::~SharedView() {
  if (!bytes_.empty()) {
    ::munmap(const_cast<std::byte*>(bytes_.data()), bytes_.size());
  }
}

Result<SharedView> SharedView::map(int fd, std::uint64_t offset, std::size_t size) {
  void* const base =
      ::mmap(nullptr, size, PROT_READ, MAP_SHARED | MAP_NORESERVE, fd, static_cast<off_t>(offset));
  if (base == MAP_FAILED) {
    return fail_errno(errno, "proc", "cannot map a file of guest memory");
  }
  return SharedView{std::span{static_cast<const std::byte*>(base), size}};
}

std::span<const std::byte> SharedView::if_resident(std::uint64_t offset, std::size_t size) const {
  if (size == 0 || size > kMaxPages * kPageSize || offset > bytes_.size() || size > bytes_.size() - offset) {
    return {};
  }
  const std::uint64_t begin = offset & ~(kPageSize - 1);
  const std::uint64_t end = offset + size;
  const std::size_t pages = (end - begin + kPageSize - 1) >> kPageShift;
  if (pages > kMaxPages) {
    return {};
  }
  std::array<unsigned char, kMaxPages> resident;
  if (::mincore(const_cast<std::byte*>(bytes_.data()) + begin, end - begin, resident.data()) != 0) {
    return {};
  }
  const auto in_memory = [](unsigned char page) { return (page & 1U) != 0; };
  if (!std::all_of(resident.begin(), resident.begin() + static_cast<std::ptrdiff_t>(pages), in_memory)) {
    return {};
  }
  return bytes_.subspan(offset, size);
}

} // namespace vmemfs
