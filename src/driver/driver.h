// SPDX-License-Identifier: MIT
// The interface of a driver. To write a driver, read this file first.
//
// A driver instance is one VM, reached in one way. The required core is small: identity, memory map, batch
// read, and whether the VM has ended. All else is optional: a null pointer means that this VM does not
// support it, and a function that is not overridden that there is nothing to do or to say. src/driver/kit has
// the parts that most drivers need.
//
// Thread-safety: all methods of all interfaces here may be called from any thread at any time,
// unless the comment says otherwise. Nothing throws, except std::bad_alloc.
#pragma once

#include "core/error.h"
#include "core/gpa.h"
#include "core/memory_map.h"
#include "core/memory_use.h"
#include "core/register_set.h"
#include "core/vcpu_set.h"

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace vmemfs {

class BlockMemory;

/// One piece of a batch read. The caller fills in gpa and buffer; the driver sets done and failure.
struct ReadPiece {
  Gpa gpa;
  std::span<std::byte> buffer;
  std::size_t done = 0;             ///< bytes read, from the start of buffer
  std::optional<ErrorKind> failure; ///< why done < buffer.size(); never set on a complete piece
};

/// Approximate cost of reads; decides whether a page cache pays.
struct ReadCost {
  std::chrono::nanoseconds call{0}; ///< of a batch, regardless of its size
  std::chrono::nanoseconds page{0}; ///< of each 4 KiB in it
};

/// Result of a write.
struct WriteOutcome {
  std::size_t done = 0;         ///< bytes written, from the start
  std::optional<Error> failure; ///< why not all was written; never set if all was
};

/// Identity of a VM as shown to the user; constant for the life of the driver instance.
struct VmIdentity {
  std::string name;           ///< as the hypervisor reports it, not trusted, may be empty
  std::string uuid;           ///< may be empty
  std::string driver;         ///< name of the driver
  std::string key{};          ///< identifies this VM among all, as FoundVm::key; empty: unknown
  std::string architecture{}; ///< of the guest, as in uname -m, not trusted; empty: unknown
  /// Of its Linux kernel, if the source knows it without a search; not trusted, may be empty.
  std::string release{};
};

/// Access methods and their reasons, as text for `info`.
struct AccessReport {
  std::string map = "by the driver";
  std::string ram = "by the driver";
  std::string registers = "none: this driver reads no registers";
  std::string run_control = "none: this driver cannot pause";
  std::string writes = "none: this driver does not write"; ///< how guest memory is written, or why not
  /// Without Driver::state_delay(): why pages of a paused VM are not cached, and the remedy.
  std::string no_cache = "nothing reports that somebody else resumes this VM";
};

/// One attempt made while attaching, for `info`.
struct ProbeResult {
  std::string what;
  bool ok;
  std::string detail;
};

/// Keeps borrowed memory mapped.
using MemoryPin = std::shared_ptr<const void>;

/// Access to guest memory in this process's address space, so that a reply needs no copy.
class DirectMemory {
public:
  virtual ~DirectMemory() = default;

  /// The guest memory at [gpa, gpa + size), or an empty span if it cannot be borrowed at present (the
  /// caller then reads). The bytes must only be passed to the kernel, never accessed: the backend may be
  /// truncated at any time, which is EFAULT to a system call but SIGBUS to a load. They stay mapped while
  /// `pin` lives. Borrowing allocates no guest memory.
  [[nodiscard]] virtual std::span<const std::byte> borrow(Gpa gpa, std::size_t size, MemoryPin& pin) = 0;
};

class MemoryWriter {
public:
  virtual ~MemoryWriter() = default;

  /// Writes all of `bytes`, or as many of them from the start as possible. The caller has checked that
  /// the whole range lies in writable regions of the map, but the map may have changed since: an address
  /// without memory is refused. When this returns, the written bytes are visible to the guest's reads and
  /// instruction fetches.
  [[nodiscard]] virtual WriteOutcome write(Gpa gpa, std::span<const std::byte> bytes) = 0;
};

class RegisterReader {
public:
  virtual ~RegisterReader() = default;
  /// The layout of all sets that this VM gives; the same for the life of the driver instance.
  [[nodiscard]] virtual const RegisterLayout& register_layout() const = 0;
  /// One set for each of `vcpus`, in their order; all or nothing. If the VM is paused they are of one
  /// instant. If it runs they are that too if the source can do it, else they are as close together as
  /// the source reads them. not_found: there is no such vCPU. busy: a vCPU is offline.
  [[nodiscard]] virtual Result<std::vector<RegisterSet>> read_registers(std::span<const VcpuId> vcpus) = 0;
  /// Whether its sets usually have this register of the layout: tells the size of their text before one was
  /// read. Waits for nobody.
  [[nodiscard]] virtual bool usually_has(RegisterIndex reg) const {
    static_cast<void>(reg);
    return true;
  }

  [[nodiscard]] Result<RegisterSet> read_vcpu(VcpuId vcpu) {
    return read_registers({&vcpu, 1}).map([](const auto& sets) { return sets.front(); });
  }
};

class RegisterWriter {
public:
  virtual ~RegisterWriter() = default;
  /// Like RegisterReader's; the indexes of the values to set refer to it.
  [[nodiscard]] virtual const RegisterLayout& register_layout() const = 0;
  /// Sets all of `values` or, if one cannot be set, reports which; registers before it may have been set
  /// by then. A running VM is paused meanwhile.
  [[nodiscard]] virtual Result<void> write_registers(VcpuId vcpu, std::span<const RegisterValue> values) = 0;
};

struct RunStatus {
  bool running;
  std::string detail; ///< the hypervisor's own term: "running", "paused", "prelaunch", ...
  /// If not running: false if it stopped for a reason of its own (migrated away, crashed, shut down), so
  /// that a pauser must not resume it any more.
  bool by_command = true;
  /// If not running: it may begin to run without any command, as the target of a migration does, so that only
  /// pause() keeps it stopped.
  bool may_start = false;
  /// If not running: its memory changes nevertheless, as that of the target of a migration does.
  bool memory_changes = false;
  /// If not running: the driver itself stopped it, as connecting to a server of GDB's remote protocol does,
  /// and neither pause() nor resume() was called since. Driver::detach() ends that, unless the user wants it
  /// kept.
  bool by_driver = false;
  /// If not running: somebody else may have resumed it since, which only pause() finds out.
  bool uncertain = false;
  /// Of pause(): somebody else had resumed it, and it ran until this call.
  bool ran = false;
};

/// Both commands are idempotent and return when the VM is in the requested state, as far as the source can
/// see, and then return that state. If the VM cannot be in it before something else has ended, such as a
/// migration, they return when it is certain to be in it afterwards, or fail. For a driver with state_delay()
/// they count as a call of run_status() that found it.
class RunControl {
public:
  virtual ~RunControl() = default;
  [[nodiscard]] virtual Result<RunStatus> run_status() = 0;
  [[nodiscard]] virtual Result<RunStatus> pause() = 0;
  [[nodiscard]] virtual Result<RunStatus> resume() = 0;

  /// Whether a pause can outlast this process. If not, the VM runs again when this process ends in any way.
  [[nodiscard]] virtual bool can_keep() const { return true; }

  /// The ticket with which another process can resume this VM if this one dies: for
  /// DriverType::resume_orphan() only. Empty: not possible.
  [[nodiscard]] virtual std::string resume_ticket() const { return {}; }
};

enum class VmEvent : unsigned char {
  paused,
  resumed,
  reset,
  layout_changed,
  vcpus_changed, ///< a vCPU was plugged in or unplugged, or may have been: see Driver::vcpus()
  state_unclear, ///< the guest may have run since it was last known to be paused
  gone,
};

class VmListener {
public:
  virtual ~VmListener() = default;
  /// Called on any thread, also from inside a call into the driver; must return soon and must not call
  /// the driver, except for Driver::gone(). An event may be delivered twice, or late, but it happened
  /// before anything that a later call of run_status() finds.
  virtual void on_vm_event(VmEvent event) = 0;
};

class Driver {
public:
  Driver() = default;
  Driver(const Driver&) = delete;
  Driver& operator=(const Driver&) = delete;
  virtual ~Driver() = default;

  [[nodiscard]] virtual const VmIdentity& identity() const = 0;

  /// The memory map as last known; never null, never blocks.
  [[nodiscard]] virtual std::shared_ptr<const MemoryMap> memory_map() const = 0;

  /// Reads all pieces, each with its own result. A piece may cross region borders; it then ends at the
  /// first address without memory (failure = hole). If the VM is gone, every piece fails with vm_gone.
  /// Allocates no guest memory. Bytes of a buffer beyond `done` are undefined.
  virtual void read(std::span<ReadPiece> pieces) = 0;

  /// True once the VM has ended; stays true. Takes no lock, as listeners may call it.
  [[nodiscard]] virtual bool gone() const = 0;

  /// Gives the VM up in the state that the user asked for; the VM may be gone() then. Called before the
  /// driver is destroyed, maybe more than once, and nothing but gone() is needed after it. Failure: the VM
  /// may stay paused because of it.
  [[nodiscard]] virtual Result<void> detach() { return {}; }

  /// Reads the memory map again, whatever it costs. Not for the read path.
  [[nodiscard]] virtual Result<void> refresh() { return {}; }

  /// Adopts a changed memory map if that is cheap (microseconds, no monitor); else does nothing.
  /// `missed`: a read has just hit a hole of the map. For the read path.
  virtual void poll_layout(bool missed) { static_cast<void>(missed); }

  /// Checks whether a VM that run_status() last found paused may have run since, if that is cheap
  /// (microseconds, no monitor), and notifies the listener. For the read path.
  virtual void poll_run_state() {}

  /// Max delay until the listener is notified that somebody else resumed the VM, if poll_run_state() is
  /// called before every read. nullopt: the notification may never come.
  [[nodiscard]] virtual std::optional<std::chrono::milliseconds> state_delay() const { return std::nullopt; }

  /// The memory cannot change at all, such as that of a dump.
  [[nodiscard]] virtual bool frozen() const { return false; }

  /// Searches main memory for the first byte of one use; `range` lies in one region of the map. Sparse is
  /// only what surely holds nothing at the time of the call; a search may end before the end of the range,
  /// but not at its begin. Microseconds to milliseconds, no monitor; may wait as long as a read does. The
  /// default: the source cannot say, so all is held.
  [[nodiscard]] virtual UseSearch find(GpaRange range, MemoryUse wanted) {
    return all_held(range.size(), wanted);
  }

  /// About how much memory and disk space of the host the memory below the end of main memory takes, in
  /// bytes. nullopt: unknown. Microseconds; waits for nothing.
  [[nodiscard]] virtual std::optional<std::uint64_t> held_bytes() const { return std::nullopt; }

  [[nodiscard]] virtual ReadCost read_cost() const { return {}; }

  /// The vCPUs as last known, by the indexes that read_registers() takes; never blocks. They come and go: a
  /// source that can plug them notices that within about a second, without being asked, and reports
  /// vcpus_changed. Empty if the source has no vCPUs.
  [[nodiscard]] virtual VcpuSet vcpus() const { return {}; }

  [[nodiscard]] virtual AccessReport access() const { return {}; }
  [[nodiscard]] virtual std::vector<ProbeResult> probe() const { return {}; }

  /// At most one listener; nullptr removes it, and it is not called after that call has returned. To be
  /// overridden if the VM can change or end at all: see ListenerSlot.
  virtual void set_listener(VmListener* /*listener*/) {}

  // Optional functions. Pointers stay valid as long as the driver.
  [[nodiscard]] virtual DirectMemory* direct_memory() { return nullptr; }
  [[nodiscard]] virtual BlockMemory* block_memory() { return nullptr; }
  [[nodiscard]] virtual MemoryWriter* memory_writer() { return nullptr; }
  [[nodiscard]] virtual RegisterReader* register_reader() { return nullptr; }
  [[nodiscard]] virtual RegisterWriter* register_writer() { return nullptr; }
  [[nodiscard]] virtual RunControl* run_control() { return nullptr; }
};

} // namespace vmemfs
