// SPDX-License-Identifier: MIT
// A guest whose memory lies in a process of this host: its memory in the current layout, until the process
// ends or executes another program.
//
// What a driver of such guests needs for the required core of Driver: see each method. Where the layout comes
// from is the driver's.
#pragma once

#include "core/error.h"
#include "driver/block_memory.h"
#include "driver/driver.h"
#include "host/process_space.h"
#include "util/fd_watcher.h"
#include "util/published.h"
#include "vmm/guest_layout.h"
#include "vmm/guest_memory.h"
#include "vmm/program_witness.h"

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <vector>

namespace vmemfs {

/// Thread-safe, but for publish(): one call at a time.
class ProcessGuest final : public BlockMemory {
public:
  explicit ProcessGuest(std::shared_ptr<const ProcessSpace> space)
      : space_{std::move(space)}, program_{space_} {}
  ~ProcessGuest() override = default;
  ProcessGuest(const ProcessGuest&) = delete;
  ProcessGuest& operator=(const ProcessGuest&) = delete;

  /// Unmaps the memory when the process ends, or within about a second after it has executed another program,
  /// and then calls `ended` once, on the watcher's thread; not after this object is destroyed: make it a late
  /// member of the driver.
  [[nodiscard]] Result<void> watch_end(FdWatcher& watcher, std::function<void()> ended);

  /// Reuse of the mappings of blocks that have not moved: kept mappings are already populated.
  enum class Mappings : unsigned char { keep, renew };

  /// Replaces the layout. True if the memory differs from that of the layout before; false for the first.
  [[nodiscard]] Result<bool> publish(GuestLayout layout, Mappings mappings);

  [[nodiscard]] const ProcessSpace& space() const { return *space_; }
  /// See Driver::gone().
  [[nodiscard]] bool gone() const { return !space_->alive(); }
  /// The memory as last published; null before publish() and after the end.
  [[nodiscard]] std::shared_ptr<const GuestMemory> memory() const { return memory_.load(); }

  /// For a VM that ended although its process lives: does what the end of the process does. On the watcher's
  /// thread alone.
  void end();

  /// See Driver::memory_map(). Empty if there is no memory.
  [[nodiscard]] std::shared_ptr<const MemoryMap> memory_map() const;
  /// See Driver::read().
  void read(std::span<ReadPiece> pieces) const;
  /// See Driver::find().
  [[nodiscard]] UseSearch find(const GpaRange& range, MemoryUse wanted) const;
  /// See Driver::held_bytes().
  [[nodiscard]] std::optional<std::uint64_t> held_bytes() const;
  /// See DirectMemory::borrow().
  [[nodiscard]] std::span<const std::byte> borrow(Gpa gpa, std::size_t size, MemoryPin& pin) const;

  // See BlockMemory.
  [[nodiscard]] std::optional<std::uint64_t> size(const Region& of) override;
  [[nodiscard]] std::optional<std::uint64_t> held_bytes(const Region& of) override;
  [[nodiscard]] tl::expected<std::size_t, ErrorKind> read(const Region& of, std::uint64_t offset,
                                                          std::span<std::byte> buffer) override;
  [[nodiscard]] Result<UniqueFd> open_file(const Region& of) override;

  /// How the memory is read, as one line, for AccessReport::ram.
  [[nodiscard]] std::string describe() const;
  /// The same for each stretch of the process's memory, for Driver::probe().
  [[nodiscard]] std::vector<ProbeResult> probe() const;

private:
  const std::shared_ptr<const ProcessSpace> space_;
  Published<GuestMemory> memory_;
  std::function<void()> ended_; ///< of the watcher's thread, once it watches; empty: was called
  ProgramWitness program_;      ///< of the watcher's thread
  // Last: their callbacks use the others.
  FdWatcher::Watch end_watch_;
  FdWatcher::Watch program_watch_;
};

} // namespace vmemfs
