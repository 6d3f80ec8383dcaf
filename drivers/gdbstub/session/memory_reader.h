// SPDX-License-Identifier: MIT
// Reads of guest memory by packets m or x, as many under way as the link allows.
#pragma once

#include "core/memory_map.h"
#include "driver/driver.h"
#include "drivers/gdbstub/link/server_link.h"

#include <cstddef>
#include <span>
#include <utility>
#include <vector>

namespace vmemfs::gdbstub {

struct ReadForm {
  std::size_t bytes; ///< with one request, at least 1
  bool binary;       ///< x instead of m
};

/// One read among those that are carried out together.
struct SharedRead {
  std::span<ReadPiece> pieces;
  std::size_t open = 0; ///< requests without a reply; for the reader
};

/// The reads that are to be carried out.
class ReadSource {
public:
  ReadSource() = default;
  ReadSource(const ReadSource&) = delete;
  ReadSource& operator=(const ReadSource&) = delete;
  virtual ~ReadSource() = default;

  /// Those that have come since the last call. Called whenever the link has room for more requests.
  [[nodiscard]] virtual std::vector<SharedRead*> take() = 0;
  /// All pieces have their results, and the read is not used any more. `in_time`: false if the WorkLimit of
  /// the thread ended it.
  virtual void finished(SharedRead& read, bool in_time) = 0;
};

/// One read alone.
class SingleRead final : public ReadSource {
public:
  explicit SingleRead(std::span<ReadPiece> pieces) : read_{pieces} {}
  std::vector<SharedRead*> take() override {
    return std::exchange(taken_, true) ? std::vector<SharedRead*>{} : std::vector{&read_};
  }
  void finished(SharedRead& /*read*/, bool /*in_time*/) override {}

private:
  SharedRead read_;
  bool taken_ = false;
};

/// Each as Driver::read() of a VM that has not ended; never asks for addresses outside of `map`, where a
/// device may react. A page that the server refuses is a bad_page. If the link fails, the pieces that are not
/// complete fail with its reason.
void read_memory(ServerLink& link, const ReadForm& form, const MemoryMap& map, ReadSource& source);

} // namespace vmemfs::gdbstub
