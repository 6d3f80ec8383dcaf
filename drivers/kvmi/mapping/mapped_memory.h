// SPDX-License-Identifier: MIT
// Pages of a VM that are mapped by its connection, within a budget.
//
// A page that is read by message again and again is mapped, by a job and never by the read itself, and later
// reads copy it from there. All pages are unmapped when the guest is paused or resumed, when its map changes,
// and when the connection ends; one that nobody reads for a second or two is unmapped too. Whatever goes
// wrong, the page is read by message.
#pragma once

#include "core/error.h"
#include "core/gpa.h"
#include "drivers/kvmi/link/session.h"
#include "drivers/kvmi/mapping/hot_pages.h"
#include "drivers/kvmi/mapping/memory_device.h"
#include "util/mutex.h"

#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <set>
#include <span>
#include <string>
#include <vector>

namespace vmemfs::kvmi {

/// Thread-safe; of one session.
class MappedMemory {
public:
  /// Most that the budget can be.
  static constexpr std::size_t kMaxPages = 16384;
  /// Pages that wait to be mapped.
  static constexpr std::size_t kMaxWanted = 256;
  /// Pages in a row that could not be mapped or copied, which end all attempts.
  static constexpr unsigned kMaxFailures = 16;

  /// `session` outlives this object. `wanted` is called, by any reader, to have map_wanted() called soon.
  MappedMemory(Session& session, std::unique_ptr<MemoryDevice> device, std::size_t max_pages,
               std::function<void()> wanted);
  ~MappedMemory();
  MappedMemory(const MappedMemory&) = delete;
  MappedMemory& operator=(const MappedMemory&) = delete;

  /// Fills `into`, which is within one page, if it is mapped. Waits for nobody.
  [[nodiscard]] bool copy(Gpa gpa, std::span<std::byte> into) EXCLUDES(mutex_);
  /// This page was read by message.
  void was_read(Gpa gpa) EXCLUDES(mutex_);

  /// Maps what was read again and again. Asks the VM; one call at a time.
  void map_wanted() EXCLUDES(mutex_);
  /// Unmaps pages that were not read since the last call.
  void unmap_unused() EXCLUDES(mutex_);
  /// Nothing is mapped any more from now on.
  void end() EXCLUDES(mutex_);

  /// While it exists, nothing is mapped.
  class Suspension {
  public:
    explicit Suspension(MappedMemory* of) : of_{of} {
      if (of_ != nullptr) {
        of_->suspend();
      }
    }
    ~Suspension() {
      if (of_ != nullptr) {
        of_->go_on();
      }
    }
    Suspension(const Suspension&) = delete;
    Suspension& operator=(const Suspension&) = delete;

  private:
    MappedMemory* const of_;
  };

  /// For `info`.
  [[nodiscard]] std::string describe() const EXCLUDES(mutex_);

private:
  struct Mapping {
    Mapping(MappedMemory& of, DeviceRegion what) : owner{of}, region{what} {}
    ~Mapping();
    Mapping(const Mapping&) = delete;
    Mapping& operator=(const Mapping&) = delete;

    MappedMemory& owner;
    const DeviceRegion region;
    std::atomic<std::uint64_t> used{0};
  };
  using Mappings = std::map<Gpa, std::shared_ptr<Mapping>>; ///< by the end of their range

  void suspend() EXCLUDES(mutex_);
  void go_on() EXCLUDES(mutex_);
  void unmap_all() EXCLUDES(mutex_);
  /// No page is mapped any more for good.
  void give_up(const std::string& why) EXCLUDES(mutex_);
  void failed(const Error& error, Gpa page) EXCLUDES(mutex_);
  [[nodiscard]] std::vector<Gpa> take_wanted(std::uint64_t& epoch) EXCLUDES(mutex_);
  [[nodiscard]] bool reserve(Gpa page, std::uint64_t epoch) EXCLUDES(mutex_);
  void release(std::size_t pages) EXCLUDES(mutex_);
  void map_one(Gpa page, const MapToken& token, std::uint64_t epoch) EXCLUDES(mutex_);
  [[nodiscard]] std::shared_ptr<Mapping> find(Gpa gpa) const REQUIRES(mutex_);
  /// Takes the mapping out that was not used for longest; null if there is none.
  [[nodiscard]] std::shared_ptr<Mapping> take_oldest() REQUIRES(mutex_);
  [[nodiscard]] bool may_map() const REQUIRES(mutex_);

  Session& session_;
  const std::unique_ptr<MemoryDevice> device_;
  const std::size_t max_pages_;
  const std::function<void()> wanted_callback_;
  HotPages hot_;
  std::atomic<bool> any_{false}; ///< something is mapped
  std::atomic<bool> job_asked_{false};
  std::atomic<bool> off_{false}; ///< nothing is to be mapped any more
  std::atomic<std::chrono::steady_clock::time_point> not_before_{};
  std::atomic<std::uint64_t> clock_{0};
  std::atomic<unsigned> failures_{0}; ///< since a page was last copied

  mutable Mutex mutex_; ///< leaf; no mapping is destroyed under it
  Condition released_;
  Mappings mappings_ GUARDED_BY(mutex_);
  std::set<Gpa> wanted_ GUARDED_BY(mutex_);
  std::uint64_t epoch_ GUARDED_BY(mutex_) = 0; ///< changes when all is unmapped
  unsigned suspended_ GUARDED_BY(mutex_) = 0;
  std::size_t held_pages_ GUARDED_BY(mutex_) = 0; ///< mapped or being mapped, those a reader still uses too
  std::uint64_t last_sweep_ GUARDED_BY(mutex_) = 0;
  std::string off_reason_ GUARDED_BY(mutex_);
};

} // namespace vmemfs::kvmi
