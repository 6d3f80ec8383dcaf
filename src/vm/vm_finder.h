// Looks out for VMs, as long as a mount lives: those that drivers find by themselves, and those that the
// user wants whenever they are there.
#pragma once

#include "driver/discovery.h"
#include "driver/vm_spec.h"
#include "util/worker.h"
#include "vm/attacher.h"

#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace vmemfs {

/// A VM that is there, or is wanted, and that could not be attached so far.
struct Refusal {
  std::string name;   ///< its own, not trusted; or what the user wants it to be called
  std::string driver; ///< may be empty for one that is wanted
  std::string number; ///< see FoundVm; empty for one that is wanted
  std::string reason; ///< a sentence with the remedy; empty: the first try is under way
};

/// A discovery that can't look just now. What it saw before is taken to be there still.
struct DiscoveryError {
  std::string driver;
  std::string reason; ///< a sentence with the remedy

  friend bool operator==(const DiscoveryError&, const DiscoveryError&) = default;
};

/// A VM that a discovery sees.
struct DiscoveredVm {
  std::string driver;
  FoundVm vm;
  std::string reason; ///< as of its Refusal; empty also where it is attached
};

/// Thread-safe. Has threads of its own, as attaching may wait for a monitor that does not answer.
class VmFinder {
public:
  using Clock = std::chrono::steady_clock;

  struct Source {
    std::string driver;
    std::unique_ptr<Discovery> discovery;
  };

  /// How often things are done; tests have less patience.
  struct Pace {
    Clock::duration scan = std::chrono::milliseconds{500};
    /// What fails is tried at each look for so long, as a VM may just be starting; then less and less often.
    Clock::duration young = std::chrono::seconds{10};
    Clock::duration max_wait = std::chrono::seconds{60};
    Clock::duration max_wait_wanted = std::chrono::seconds{10};
    /// A failure is told once it has lasted so long; one for want of rights at once.
    Clock::duration quiet = std::chrono::seconds{3};
    /// So long a VM is left to a driver that does more with it; then another one may have it.
    Clock::duration preferred_driver_wait = std::chrono::seconds{3};
  };

  /// Each is told once for each new reason; on any thread, one of several at a time.
  struct Callbacks {
    std::function<void(const Refusal&)> refusal;
    std::function<void(const DiscoveryError&)> discovery_error;
  };

  /// `sources` in the order of preference: where several find the same VM (FoundVm::key), the first has it.
  /// `attacher` must outlive the lookout. Nothing is done before begin().
  VmFinder(std::vector<Source> sources, std::vector<VmSpec> wanted, Attacher& attacher, Callbacks callbacks,
           Pace pace);
  ~VmFinder(); ///< as stop()
  VmFinder(const VmFinder&) = delete;
  VmFinder& operator=(const VmFinder&) = delete;

  /// Waits until all that is there at the start is attached or refused, or the time is over: whichever is
  /// first. Of that time, half is for discoveries that take a while to begin.
  void begin(Clock::duration limit);
  void stop();

  /// Those that were tried, or are being tried; not what is left to another driver.
  [[nodiscard]] std::vector<Refusal> refused() const;
  /// How many of those that were found are neither attached nor refused nor another driver's yet.
  [[nodiscard]] std::size_t pending() const;
  /// All that is found just now, in the order in which it was found.
  [[nodiscard]] std::vector<DiscoveredVm> discovered_vms() const;
  /// Those of the last look, in the order of preference of their sources.
  [[nodiscard]] std::vector<DiscoveryError> discovery_errors() const;

private:
  /// When to try again.
  struct Backoff {
    Clock::time_point next{};
    Clock::duration wait{};
  };
  struct Found {
    FoundVm vm;
    Clock::time_point since;
    std::uint64_t order; ///< in which they were found
    Backoff backoff{};
    bool trying = false;
    bool settled = false; ///< attached, perhaps detached since: nothing is left to be done
    std::optional<std::weak_ptr<Vm>> attached{}; ///< if it was attached for this entry
    Refusal refusal{};
    std::string reported{};
  };
  struct Wanted {
    VmSpec spec;
    Backoff backoff{};
    bool trying = false;
    bool settled = false;     ///< was detached by hand
    std::shared_ptr<Vm> vm{}; ///< while it is attached
    Refusal refusal{};
    std::string reported{};
  };
  using Key = std::pair<std::size_t, std::string>; ///< index of the source, FoundVm::key
  /// Does something when the last copy goes: when all jobs that hold one are done.
  using CompletionToken = std::shared_ptr<void>;

  void scan();
  [[nodiscard]] bool take_in(std::size_t source, Clock::time_point now);
  void note_scan(std::size_t source, const Result<std::vector<FoundVm>>& seen);
  void check_wanted(Clock::time_point now, bool found_new);
  void try_due(Clock::time_point now);
  void try_found(const Key& key);
  /// What another driver has to do with a VM that was found by one.
  enum class OtherDrivers : unsigned char { none, may_attach, have_attached };
  [[nodiscard]] OtherDrivers other_drivers(const Key& key, const Found& found, Clock::time_point now) const;
  [[nodiscard]] NameClaim claim_of(const Found& found) const;
  /// What became of the same VM by a driver that comes later, and found it first.
  struct LessPreferred {
    std::shared_ptr<Vm> vm; ///< null: it has not attached it
    bool detached = false;  ///< by hand, as the VM itself is still there
  };
  [[nodiscard]] LessPreferred less_preferred(const Key& key) const;
  void try_wanted(std::size_t index);
  template <typename Entry> [[nodiscard]] std::optional<Refusal>
  note_failure(Entry& entry, const Error& error, Clock::time_point since, Clock::duration max_wait);

  Attacher& attacher_;
  const Callbacks callbacks_;
  const Pace pace_;
  const std::vector<Source> sources_;

  mutable std::mutex mutex_; ///< guards what follows; never held while waiting
  std::map<Key, Found> found_;
  std::uint64_t next_order_ = 0;
  std::vector<Wanted> wanted_;
  std::map<std::size_t, DiscoveryError> discovery_errors_; ///< by source
  bool first_scan_done_ = false;
  std::condition_variable first_scan_;

  CompletionToken first_scan_jobs_; ///< the looker's; taken by the first look
  Worker attachers_;
  Worker scanner_; ///< last: its job uses the rest
};

} // namespace vmemfs
