// SPDX-License-Identifier: MIT
// Reader of QEMU's flat view of guest physical memory, from the memory of its process, without a monitor.
//
// Works if QEMU exports its symbols: built with modules, as distributions do, or not stripped. Nothing that
// is read is trusted: a layout that fails a check is an error, never a guess.
#pragma once

#include "core/error.h"
#include "drivers/qemu/flat_view/flat_range.h"
#include "drivers/qemu/flat_view/flat_view_layout.h"
#include "host/hva.h"
#include "host/process_space.h"
#include "util/mutex.h"

#include <cstdint>
#include <memory>
#include <utility>
#include <vector>

namespace vmemfs::qemu {

struct FlatView {
  std::vector<FlatRangeInfo> ranges; ///< sorted, no overlap; I/O is left out
  std::vector<GpaRange> unplugged;   ///< of virtio-mem devices: part of `ranges`; sorted, no overlap
  bool plugs_unknown = false;        ///< there are virtio-mem devices of which that is not known
  std::uint64_t stamp = 0;           ///< FlatViewReader::stamp() of exactly this view
};

/// Thread-safe.
class FlatViewReader {
public:
  /// unsupported: not a QEMU with usable symbols. permission: the text names the remedy.
  static Result<FlatViewReader> open(std::shared_ptr<const ProcessSpace> space);

  /// A number that changes whenever the view, the set of memory blocks, or what virtio-mem has plugged (as
  /// far as the last read() knew of it) changes; takes microseconds. It covers the whole view and QEMU's
  /// counter of block changes, so a reused address cannot hide a change.
  [[nodiscard]] Result<std::uint64_t> stamp() const;

  /// The complete view, or an error. busy: the view kept changing while it was read; try again later.
  [[nodiscard]] Result<FlatView> read() const;

private:
  FlatViewReader(std::shared_ptr<const ProcessSpace> space, FlatViewLayout layout)
      : space_{std::move(space)}, layout_{layout}, plug_maps_{std::make_shared<PlugMaps>()} {}

  /// Where the last view that was read has its virtio-mem bitmaps.
  struct PlugMaps {
    Mutex mutex;
    std::vector<HvaRange> bitmaps GUARDED_BY(mutex);
  };

  std::shared_ptr<const ProcessSpace> space_;
  FlatViewLayout layout_;
  std::shared_ptr<PlugMaps> plug_maps_; ///< shared by copies; not null
  bool understood_ = false;             ///< this QEMU's structures were read once, and checked
};

} // namespace vmemfs::qemu
