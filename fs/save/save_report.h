// SPDX-License-Identifier: MIT
// Facts about a saved image, and their form as JSON.
#pragma once

#include "fs/save/guest/guest_info.h"
#include "fs/save/image/unreadable_ranges.h"

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace vmemfs {

/// How the guest was while it was read.
enum class SaveMode : unsigned char {
  live,   ///< it may have run
  paused, ///< by us
  saved,  ///< its memory cannot change
};

[[nodiscard]] std::string_view to_string(SaveMode mode);

struct SaveReport {
  using Time = std::chrono::system_clock::time_point;

  std::string directory{}; ///< of the VM, as given
  std::string file{};      ///< "-": standard output
  std::string format{};
  std::string source{}; ///< the file of the directory
  bool packed = false;  ///< the memory of that file is packed in the image
  std::uint64_t bytes = 0;
  std::uint64_t data_bytes = 0; ///< of memory, or of the source, that were read; the rest are holes
  std::string sha256{};

  Time started{};
  Time ended{};
  SaveMode mode = SaveMode::live;
  std::optional<std::chrono::milliseconds> pause{}; ///< its length

  GuestInfo before{};                ///< before the pause
  std::uint64_t epoch_begin = 0;     ///< when reading began; in a pause
  std::optional<GuestInfo> at_end{}; ///< when reading ended; in a pause. None: the VM has ended
  std::string state_after{};         ///< when all is done
  std::string detach_failure{};      ///< in words; the guest may stay paused. Empty: there was none

  std::string maps{}; ///< text of the file `maps`, before
  bool maps_changed = false;

  std::vector<ByteRange> unreadable{}; ///< offsets in the image; if it is packed, guest physical addresses
  std::uint64_t unreadable_bytes = 0;
  std::uint64_t unreadable_not_listed = 0;

  /// Whether the guest was paused, resumed or reset, or its memory map changed, while it was read.
  [[nodiscard]] bool guest_changed() const;
  /// Pages that the source refused meanwhile, for any reader of the mount; they are zeros.
  [[nodiscard]] std::uint64_t refused_reads() const;
  /// Whether every byte is that of the guest, and of one moment if a pause was asked for.
  [[nodiscard]] bool is_whole() const;
};

/// The sidecar: a JSON object, indented, ending in a newline.
[[nodiscard]] std::string sidecar_text(const SaveReport& report);

} // namespace vmemfs
