// SPDX-License-Identifier: MIT
#include "fs/files/virt/virtual_file.h"

#include <algorithm>
#include <utility>

namespace vmemfs {

VirtualFile::VirtualFile(std::shared_ptr<Guest> guest, VcpuId vcpu)
    : GuestMemoryFile{std::move(guest)}, view_{this->guest(), vcpu} {}

tl::expected<std::size_t, ErrorKind> VirtualFile::fetch(std::uint64_t offset, std::size_t size,
                                                        ReadScratch& scratch) {
  if (offset != 0 && read_from_start_ != offset) {
    read_from_start_ = kSought;
    return view_.read(offset, size, scratch);
  }
  const std::uint64_t end = std::min(memory().size(), kMaxFromStart);
  const std::uint64_t room = end - std::min(offset, end);
  auto bytes = view_.read(offset, static_cast<std::size_t>(std::min<std::uint64_t>(size, room)), scratch);
  if (!bytes && bytes.error() == ErrorKind::hole) {
    scratch.truncate(0);
    bytes = 0;
  }
  read_from_start_ = offset + bytes.value_or(0);
  return bytes;
}

tl::expected<std::uint64_t, ErrorKind> VirtualFile::find(std::uint64_t /*offset*/, MemoryUse /*wanted*/) {
  return tl::unexpected{ErrorKind::invalid};
}

bool VirtualFile::is_passed_on(ErrorKind failure) const {
  return failure != ErrorKind::hole && failure != ErrorKind::bad_page && failure != ErrorKind::source_failed;
}

} // namespace vmemfs
