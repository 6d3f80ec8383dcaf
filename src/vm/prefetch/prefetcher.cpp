// SPDX-License-Identifier: MIT
#include "vm/prefetch/prefetcher.h"

namespace vmemfs {

tl::expected<std::size_t, ErrorKind> Prefetcher::read_live(SequentialPrefetch::Request request,
                                                           ReadScratch& scratch) {
  const Epoch::Value epoch = cache_.poll_epoch();
  request.epoch = epoch.number;
  const bool fetched = next_read_.take(request, scratch);
  auto bytes = fetched ? request.size : view_.read(request.offset, request.size, request.policy, scratch);
  if (fetched && attachment_.gone()) {
    return tl::unexpected{ErrorKind::vm_gone};
  }
  if (bytes == request.size && epoch.stable && scratch.is_copy()) {
    request.offset += request.size;
    next_read_.begin(request);
  }
  return bytes;
}

} // namespace vmemfs
