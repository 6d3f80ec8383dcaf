// SPDX-License-Identifier: MIT
#include "fs/files/memory_file.h"

#include "vm/memory/scratch_pool.h"

#include <chrono>
#include <span>
#include <unistd.h>
#include <utility>

namespace vmemfs {

MemoryFile::MemoryFile(std::shared_ptr<Guest> guest, HolePolicy policy)
    : guest_{std::move(guest)}, memory_{guest_->memory()}, policy_{policy} {
  memory_.poll_layout();
  memory_.begin_view();
}

MemoryFile::~MemoryFile() { memory_.end_view(); }

void MemoryFile::read(Reply& reply, const ReadRequest& request) {
  const auto begin = std::chrono::steady_clock::now();
  answer(reply, request);
  guest_->counters().read_duration.note(std::chrono::steady_clock::now() - begin);
}

void MemoryFile::answer(Reply& reply, const ReadRequest& request) {
  static ScratchPool pool; // shared by all files, so that a warm buffer is used again soon
  ScratchPool::Lease scratch{pool};
  auto bytes = memory_.read(request.offset, request.size, policy_, *scratch, &read_ahead_);
  // Any failure of the source is an I/O error to a reader of memory.
  const bool failed = !bytes && bytes.error() != ErrorKind::vm_gone;
  // After an error the kernel requests each page separately.
  const bool too_short_to_map =
      bytes && request.for_mapping && *bytes < request.size && request.offset + *bytes < memory_.size();
  if (failed || too_short_to_map) {
    bytes = tl::unexpected{ErrorKind::source_failed};
  }
  VmCounters& counters = guest_->counters();
  bytes = counters.reads.counted(bytes);
  if (bytes) {
    counters.read_bytes.add(*bytes);
    reply.data((*scratch).data());
    if (request.for_mapping) {
      memory_.note_kept_page();
    }
  } else {
    reply.error(bytes.error());
  }
}

Result<std::size_t> MemoryFile::write(std::string_view bytes, std::uint64_t offset) {
  return memory_.write(offset, std::as_bytes(std::span{bytes}));
}

void MemoryFile::seek(Reply& reply, std::uint64_t offset, int whence) {
  memory_.poll_layout();
  const auto found = whence == SEEK_DATA ? seek_data(memory_, offset) : seek_hole(memory_, offset);
  if (guest_->gone()) { // asked last: it may have ended meanwhile
    reply.error(ErrorKind::vm_gone);
  } else if (found) {
    reply.offset(*found);
  } else {
    reply.error(found.error());
  }
}

} // namespace vmemfs
