// SPDX-License-Identifier: MIT
#include "fs/files/guest_memory_file.h"

#include "vm/memory/scratch_pool.h"

#include <chrono>
#include <unistd.h>
#include <utility>

namespace vmemfs {

GuestMemoryFile::GuestMemoryFile(std::shared_ptr<Guest> guest) : guest_{std::move(guest)} {
  memory().poll_layout();
  memory().begin_view();
}

GuestMemoryFile::~GuestMemoryFile() { memory().end_view(); }

void GuestMemoryFile::read(Reply& reply, const ReadRequest& request) {
  const auto begin = std::chrono::steady_clock::now();
  answer(reply, request);
  guest_->counters().read_duration.note(std::chrono::steady_clock::now() - begin);
}

void GuestMemoryFile::answer(Reply& reply, const ReadRequest& request) {
  static ScratchPool pool; // shared by all files, so that a warm buffer is used again soon
  ScratchPool::Lease scratch{pool, request.size};
  auto bytes = fetch(request.offset, request.size, *scratch);
  const bool failed = !bytes && !is_passed_on(bytes.error());
  // After an error the kernel requests each page separately.
  const bool too_short_to_map =
      bytes && request.for_mapping && *bytes < request.size && request.offset + *bytes < size();
  if (failed || too_short_to_map) {
    bytes = tl::unexpected{ErrorKind::source_failed};
  }
  VmCounters& counters = guest_->counters();
  bytes = counters.reads.counted(bytes);
  if (bytes) {
    counters.read_bytes.add(*bytes);
    reply.data((*scratch).data());
    if (request.for_mapping) {
      memory().note_kept_page();
    }
  } else {
    reply.error(bytes.error());
  }
}

bool GuestMemoryFile::wants_page_cache() {
  const KernelCacheUse use = guest_->kernel_cache_use();
  const bool wanted =
      use == KernelCacheUse::in_use || (use == KernelCacheUse::uneven_ranges && !needs_whole_pages());
  return wanted && page_cache_epoch().has_value();
}

void GuestMemoryFile::seek(Reply& reply, std::uint64_t offset, int whence) {
  memory().poll_layout();
  const auto found = find(offset, whence == SEEK_DATA ? MemoryUse::held : MemoryUse::sparse);
  if (guest_->gone()) { // asked last: it may have ended meanwhile
    reply.error(ErrorKind::vm_gone);
  } else if (found) {
    reply.offset(*found);
  } else {
    reply.error(found.error());
  }
}

} // namespace vmemfs
