// One VM as the filesystem sees it: a driver, the view of its memory, and what is known of its state.
#pragma once

#include "driver/driver.h"
#include "vm/bad_pages.h"
#include "vm/memory_view.h"

#include <atomic>
#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <string>

namespace vmemfs {

/// Number of a VM in this mount; never used twice.
using VmId = std::uint32_t;

/// Who stopped the VM, as far as can be told.
enum class PausedBy : unsigned char { nobody, us, somebody_else };

[[nodiscard]] std::string_view to_string(PausedBy who);

/// Thread-safe. Control operations take turns; reads don't wait for them.
class Vm : VmListener {
public:
  /// `changed` is called after guest memory may have changed in a way that a cache could hide, or
  /// the VM has ended (driver().gone()); on any thread; it must return soon.
  Vm(VmId id, std::string name, std::unique_ptr<Driver> driver, std::function<void(Vm&)> changed);
  ~Vm() override;
  Vm(const Vm&) = delete;
  Vm& operator=(const Vm&) = delete;

  [[nodiscard]] VmId id() const { return id_; }
  [[nodiscard]] const std::string& name() const { return name_; } ///< of its directory
  [[nodiscard]] Driver& driver() { return *driver_; }
  [[nodiscard]] const BadPages& bad_pages() const { return bad_pages_; }

  // Memory. See MemoryView.
  [[nodiscard]] tl::expected<std::size_t, ErrorKind> read(std::uint64_t offset, std::size_t size,
                                                          HolePolicy policy, ReadScratch& scratch);
  [[nodiscard]] const MemoryView& memory() const { return view_; }
  /// Takes over a changed memory map where that is cheap. Before answering for size or shape.
  void follow_layout();

  // State and control.
  [[nodiscard]] Result<RunStatus> run_status();
  [[nodiscard]] Result<void> pause();
  [[nodiscard]] Result<void> resume();
  [[nodiscard]] Result<void> refresh();
  /// Drops what caches hold.
  void flush();
  /// Lets the VM run again if it was us who stopped it. For the end of the daemon.
  void let_go();

  [[nodiscard]] PausedBy paused_by() const { return paused_by_; }
  [[nodiscard]] std::uint64_t epoch() const { return epoch_; }
  /// When guest memory last may have changed: now, unless the VM is known to stand.
  [[nodiscard]] std::chrono::system_clock::time_point last_change() const;

  [[nodiscard]] Result<RegisterSet> read_registers(VcpuId vcpu);
  [[nodiscard]] Result<void> write_registers(VcpuId vcpu, std::span<const RegisterValue> values);

  /// The last failed control operation, in words; empty if there was none.
  [[nodiscard]] std::string last_error() const;

private:
  void on_vm_event(VmEvent event) override;
  void new_epoch();
  void note_state(bool running, PausedBy by);
  Result<RunControl*> run_control_or_why_not();
  template <typename T> Result<T> noted(Result<T> result);

  const VmId id_;
  const std::string name_;
  const std::unique_ptr<Driver> driver_;
  const std::function<void(Vm&)> changed_;
  BadPages bad_pages_;
  MemoryView view_;

  std::mutex control_; ///< one control operation at a time
  std::atomic<PausedBy> paused_by_{PausedBy::nobody};
  std::atomic<bool> own_command_{false}; ///< events that come meanwhile are our own doing
  std::atomic<std::uint64_t> epoch_{1};
  std::atomic<std::int64_t> stands_since_ns_{0}; ///< since the Unix epoch; 0: runs, or not known
  std::atomic<std::int64_t> next_layout_look_ns_{0};
  mutable std::mutex error_mutex_;
  std::string last_error_;
};

} // namespace vmemfs
