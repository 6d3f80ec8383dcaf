#include "fs/files/memory_file.h"

#include "vm/scratch_pool.h"

#include <unistd.h>
#include <utility>

namespace vmemfs {

MemoryFile::MemoryFile(std::shared_ptr<Vm> vm, HolePolicy policy) : vm_{std::move(vm)}, policy_{policy} {
  vm_->follow_layout();
}

void MemoryFile::read(Reply& reply, std::size_t size, std::uint64_t offset) {
  static ScratchPool pool; // of all files: what counts is that a buffer is used again soon
  ScratchPool::Lease scratch{pool};
  const auto bytes = vm_->read(offset, size, policy_, *scratch);
  if (bytes) {
    reply.data((*scratch).data());
  } else {
    reply.error(bytes.error());
  }
}

void MemoryFile::seek(Reply& reply, std::uint64_t offset, int whence) {
  if (vm_->driver().gone()) {
    reply.error(ErrorKind::vm_gone);
    return;
  }
  vm_->follow_layout();
  const auto found = whence == SEEK_DATA ? vm_->memory().seek_data(offset) : vm_->memory().seek_hole(offset);
  if (found) {
    reply.offset(*found);
  } else {
    reply.error(found.error());
  }
}

} // namespace vmemfs
