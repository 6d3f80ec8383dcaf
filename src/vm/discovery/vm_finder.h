// SPDX-License-Identifier: MIT
// Finder of VMs, active as long as a mount exists: it attaches VMs that drivers discover, and VMs that the
// user wants whenever they run.
#pragma once

#include "driver/discovery.h"
#include "driver/vm_spec.h"
#include "util/mutex.h"
#include "util/worker.h"
#include "vm/discovery/attach_queue.h"
#include "vm/discovery/attacher.h"
#include "vm/discovery/report_limit.h"

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace vmemfs {

/// A discovered or wanted VM that could not be attached so far.
struct Refusal {
  std::string name;   ///< its own name, not trusted; or the name that the user gave
  std::string driver; ///< may be empty for a wanted VM
  std::string number; ///< see FoundVm; empty for a wanted VM
  std::string reason; ///< a sentence with the remedy; empty: the first attempt is in progress
};

/// A discovery that cannot scan at present. VMs that it found before are assumed to still exist.
struct DiscoveryError {
  std::string driver;
  std::string reason; ///< a sentence with the remedy

  bool operator==(const DiscoveryError&) const = default;
};

/// A VM that a discovery found.
struct DiscoveredVm {
  std::string driver;
  FoundVm vm;
  std::string reason; ///< as in its Refusal; also empty if it is attached
};

/// Thread-safe. Has threads of its own, because attaching may wait for a monitor that does not answer.
class VmFinder {
public:
  using Clock = std::chrono::steady_clock;

  struct Source {
    std::string driver;
    std::unique_ptr<Discovery> discovery;
  };

  /// Intervals and delays; tests use shorter ones.
  struct Pace {
    Clock::duration scan = std::chrono::milliseconds{500};
    /// A failed attach is retried at each scan for this long, as a VM may just be starting; then less
    /// and less often.
    Clock::duration young = std::chrono::seconds{10};
    Clock::duration max_wait = std::chrono::seconds{60};
    Clock::duration max_wait_wanted = std::chrono::seconds{10};
    /// A failure is reported once it has lasted this long; missing permission at once.
    Clock::duration quiet = std::chrono::seconds{3};
    /// A VM is reserved this long for a preferred driver; then another one may attach it.
    Clock::duration preferred_driver_wait = std::chrono::seconds{3};
    /// Of the refusals of VMs that belong to other users than root and the own one, so many are reported in
    /// this time.
    std::size_t max_reports = 10;
    Clock::duration report_window = std::chrono::seconds{10};
  };

  /// Each of the first two is called once for each new reason; all on any thread.
  struct Callbacks {
    std::function<void(const Refusal&)> refusal;
    std::function<void(const DiscoveryError&)> discovery_error;
    /// So many refusals were not reported one by one; may be null.
    std::function<void(std::size_t)> refusals_left_out{};
  };

  /// `sources` in the order of preference: if several find the same VM (FoundVm::key), the first attaches
  /// it. `attacher` must outlive the finder. Nothing is done before begin().
  VmFinder(std::vector<Source> sources, std::vector<VmSpec> wanted, Attacher& attacher, Callbacks callbacks,
           Pace pace);
  ~VmFinder(); ///< as stop()
  VmFinder(const VmFinder&) = delete;
  VmFinder& operator=(const VmFinder&) = delete;

  /// Waits until all VMs that exist at the start are attached or refused, or `limit` is over, whichever
  /// is first. Half of that time is for discoveries that take a while to begin.
  void begin(Clock::duration limit);
  /// Ends what is under way, within moments: `attacher` is cancelled for good.
  void stop();

  /// No further attempt for the VMs of this name or number that are not attached, and an end of the one under
  /// way. False if there is none.
  bool give_up(std::string_view name);

  /// VMs with a failed or running attempt; not those reserved for another driver.
  [[nodiscard]] std::vector<Refusal> refused() const;
  /// Number of discovered VMs that are neither attached nor refused nor handled by another driver yet.
  [[nodiscard]] std::size_t pending() const;
  /// All VMs found by the last scan, in the order in which they were found.
  [[nodiscard]] std::vector<DiscoveredVm> discovered_vms() const;
  /// Errors of the last scan, in the order of preference of their sources.
  [[nodiscard]] std::vector<DiscoveryError> discovery_errors() const;

private:
  /// Time of the next attempt.
  struct Backoff {
    Clock::time_point next{};
    Clock::duration wait{};
  };
  struct Found {
    FoundVm vm;
    Clock::time_point since;
    std::uint64_t order; ///< of discovery
    std::string base;    ///< see vm_base_name()
    Backoff backoff{};
    bool trying = false;
    bool settled = false;                        ///< attached, perhaps detached since: nothing is left to do
    std::optional<std::weak_ptr<Vm>> attached{}; ///< if it was attached for this entry
    std::stop_source stop{};                     ///< of the attempt
    Refusal refusal{};
    std::string reported{};
  };
  struct Wanted {
    VmSpec spec;
    Backoff backoff{};
    bool trying = false;
    bool once_more = false;   ///< a VM was found during the attempt
    bool settled = false;     ///< detached on request
    std::shared_ptr<Vm> vm{}; ///< while it is attached
    std::stop_source stop{};  ///< of the attempt
    Refusal refusal{};
    std::string reported{};
  };
  using Key = std::pair<std::size_t, std::string>; ///< index of the source, FoundVm::key
  /// Runs an action when the last copy is destroyed: when all jobs that hold one are done.
  using CompletionToken = std::shared_ptr<void>;

  void scan() EXCLUDES(mutex_);
  /// Whether the VMs of `source` are those of its last scan.
  [[nodiscard]] bool is_known(std::size_t source, const std::vector<FoundVm>& vms);
  [[nodiscard]] bool take_in(std::size_t source, Clock::time_point now) EXCLUDES(mutex_);
  void note_scan(std::size_t source, const Result<std::vector<FoundVm>>& seen) EXCLUDES(mutex_);
  void report_left_out(Clock::time_point now) EXCLUDES(mutex_);
  void check_wanted(Clock::time_point now, bool found_new) EXCLUDES(mutex_);
  void try_due(Clock::time_point now) EXCLUDES(mutex_);
  /// Both return whether the VM needs no further attempt.
  bool try_found(const Key& key) EXCLUDES(mutex_);
  /// Other drivers' claim on a discovered VM.
  enum class OtherDrivers : unsigned char { none, may_attach, have_attached };
  [[nodiscard]] OtherDrivers other_drivers(const Key& key, const Found& found, Clock::time_point now) const
      REQUIRES(mutex_);
  [[nodiscard]] NameClaim claim_of(const Found& found) const REQUIRES(mutex_);
  void forget_name(const Found& ended) REQUIRES(mutex_);
  /// The same VM under a less preferred driver that found it first.
  struct LessPreferred {
    std::shared_ptr<Vm> vm; ///< null: not attached
    bool detached = false;  ///< it was detached, though the VM still runs
  };
  [[nodiscard]] LessPreferred less_preferred(const Key& key) const REQUIRES(mutex_);
  bool try_wanted(std::size_t index) EXCLUDES(mutex_);
  template <typename Entry>
  [[nodiscard]] std::optional<Refusal> note_failure(Entry& entry, const Error& error, Clock::time_point since,
                                                    Clock::duration max_wait) REQUIRES(mutex_);

  Attacher& attacher_;
  const Callbacks callbacks_;
  const Pace pace_;
  const std::vector<Source> sources_;
  /// Keys of the VMs of the last scan, by source; only for the scanner.
  std::vector<std::vector<std::string>> last_keys_;

  mutable Mutex mutex_; ///< never held while waiting, nor while a Vm is destroyed
  std::map<Key, Found> found_ GUARDED_BY(mutex_);
  /// Order and FoundVm::key of the discovered VMs of each base name.
  std::map<std::string, std::map<std::uint64_t, std::string>> namesakes_ GUARDED_BY(mutex_);
  std::uint64_t next_order_ GUARDED_BY(mutex_) = 0;
  std::vector<Wanted> wanted_ GUARDED_BY(mutex_);
  std::map<std::size_t, DiscoveryError> discovery_errors_ GUARDED_BY(mutex_); ///< by source
  ReportLimit report_limit_ GUARDED_BY(mutex_);
  bool first_scan_done_ GUARDED_BY(mutex_) = false;
  Condition first_scan_;

  CompletionToken first_scan_jobs_; ///< owned by the scanner; taken by the first scan
  AttachQueue attachers_;
  Worker scanner_; ///< last: its job uses the rest
};

} // namespace vmemfs
