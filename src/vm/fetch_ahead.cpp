#include "vm/fetch_ahead.h"

#include "util/log.h"

#include <algorithm>
#include <system_error>

namespace vmemfs {

/// Null where there can be no threads: then nothing is fetched ahead.
Worker* FetchAhead::worker() {
  const std::scoped_lock lock{mutex_};
  if (worker_ == nullptr && !failed_) {
    try {
      worker_ = std::make_unique<Worker>(kAtOnce);
    } catch (const std::system_error& error) {
      failed_ = true;
      log::warning("no reading ahead: no threads to be had: {}", error.what());
    }
  }
  return worker_.get();
}

void FetchAhead::want(GpaRange range, std::uint64_t epoch) {
  Worker* const threads = worker();
  if (threads == nullptr) {
    return;
  }
  for (Gpa at = range.begin; at < range.end;) {
    const GpaRange piece{at, std::min(at + kPiece, range.end)};
    threads->post([this, piece, epoch] { fetch_(piece, epoch); });
    at = piece.end;
  }
}

} // namespace vmemfs
