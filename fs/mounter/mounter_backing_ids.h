// SPDX-License-Identifier: MIT
// Daemon's side of backing ids, which the mounter gets from the kernel.
#pragma once

#include "fs/mounter/backing_ids.h"
#include "util/mutex.h"
#include "util/unique_fd.h"

#include <cstdint>
#include <optional>
#include <utility>

namespace vmemfs {

class MounterBackingIds final : public BackingIds {
public:
  /// `socket`: to the mounter; `device`: of the mount. Both are duplicates.
  MounterBackingIds(UniqueFd socket, UniqueFd device)
      : socket_{std::move(socket)}, device_{std::move(device)} {}

  /// After a refusal for lack of rights, or if the mounter does not answer, all later calls fail at once.
  [[nodiscard]] Result<std::int32_t> open(int file) override EXCLUDES(mutex_);
  void close(std::int32_t id) override;

private:
  [[nodiscard]] std::optional<std::int32_t> await(std::uint32_t number) REQUIRES(mutex_);

  const UniqueFd socket_;
  const UniqueFd device_;
  Mutex mutex_; ///< held during an exchange
  std::uint32_t last_number_ GUARDED_BY(mutex_) = 0;
  std::optional<Error> refusal_ GUARDED_BY(mutex_); ///< for good
};

} // namespace vmemfs
