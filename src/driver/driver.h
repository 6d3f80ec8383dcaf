// What a driver is. Read this file first if you write one.
//
// A driver instance is one VM, reached in one way. The required core is small: identity, memory map,
// batch read. Everything else is found by asking: a null pointer means "this VM can't".
//
// Thread-safety: all methods of all interfaces here may be called from any thread at any time,
// unless the comment says otherwise. Nothing throws, except std::bad_alloc.
#pragma once

#include "core/error.h"
#include "core/gpa.h"
#include "core/memory_map.h"
#include "core/register_set.h"

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

/// One piece of a batch read. The caller fills in gpa and buffer; the driver sets done and failure.
struct ReadPiece {
  Gpa gpa;
  std::span<std::byte> buffer;
  std::size_t done = 0;             ///< bytes from the start of buffer that were really read
  std::optional<ErrorKind> failure; ///< why done < buffer.size(); never set on a complete piece
};

/// What reading costs, roughly: what it takes to decide whether a page cache pays.
struct ReadCost {
  std::chrono::nanoseconds call{0}; ///< of a batch, whatever its size
  std::chrono::nanoseconds page{0}; ///< of each 4 KiB in it
};

/// What became of a write.
struct WriteOutcome {
  std::size_t done = 0;         ///< bytes from the start that are in guest memory now
  std::optional<Error> failure; ///< why done is less than all; never set where all was written
};

/// What the user is told about a VM; fixed for the life of the driver instance.
struct VmIdentity {
  std::string name;   ///< as the hypervisor has it, not trusted, may be empty
  std::string uuid;   ///< may be empty
  std::string driver; ///< name of the driver
  std::string key{};  ///< names this very VM among all, as FoundVm::key; empty: can't be told
};

/// How things are reached and why, in words, for `info`.
struct AccessReport {
  std::string map;
  std::string ram;
  std::string registers;
  std::string run_control;
  std::string writes = "not by this driver"; ///< how guest memory is written, or why it can't be
};

/// One thing that was tried while attaching, for `info`.
struct ProbeResult {
  std::string what;
  bool ok;
  std::string detail;
};

/// Keeps borrowed memory mapped.
using MemoryPin = std::shared_ptr<const void>;

/// Names guest memory in our own address space, so that a reply can be made from it without a copy.
class DirectMemory {
public:
  virtual ~DirectMemory() = default;

  /// The guest memory at [gpa, gpa + size), or an empty span where it can't be named just now (the
  /// caller then reads). The bytes must only be handed to the kernel, never touched: the backend may
  /// be truncated at any time, which is EFAULT to a system call but SIGBUS to a load. They stay
  /// mapped while `pin` lives. Borrowing allocates no guest memory.
  [[nodiscard]] virtual std::span<const std::byte> borrow(Gpa gpa, std::size_t size, MemoryPin& pin) = 0;
};

class MemoryWriter {
public:
  virtual ~MemoryWriter() = default;

  /// Writes all of `bytes` or as much of them from the start as it can. The caller has seen to it that
  /// all of it lies in writable regions of the map, but the map may have changed since: what is no
  /// memory any more is refused. When this returns, what was written holds for the guest's reads and for
  /// its instruction fetches alike.
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

  [[nodiscard]] Result<RegisterSet> read_vcpu(VcpuId vcpu) {
    return read_registers({&vcpu, 1}).map([](const auto& sets) { return sets.front(); });
  }
};

class RegisterWriter {
public:
  virtual ~RegisterWriter() = default;
  /// As RegisterReader's; the indexes of values to set are its.
  [[nodiscard]] virtual const RegisterLayout& register_layout() const = 0;
  /// Sets all of `values` or, where one can't be set, reports which; registers before it may have
  /// been set by then. A running VM is stopped for as long as it takes.
  [[nodiscard]] virtual Result<void> write_registers(VcpuId vcpu, std::span<const RegisterValue> values) = 0;
};

struct RunStatus {
  bool running;
  std::string detail; ///< the hypervisor's own word: "running", "paused", "prelaunch", ...
  /// Where it does not run: false if it stands for a reason of its own (migrated away, crashed, shut down),
  /// so that whoever paused it must not let it run any more.
  bool by_command = true;
};

/// Both commands are idempotent and return when the VM is in the state that was asked for.
class RunControl {
public:
  virtual ~RunControl() = default;
  [[nodiscard]] virtual Result<RunStatus> run_status() = 0;
  [[nodiscard]] virtual Result<void> pause() = 0;
  [[nodiscard]] virtual Result<void> resume() = 0;

  /// What another process needs to let this VM run again should this one die: for
  /// DriverType::resume_orphan(), and for nobody else. Empty: there is no way.
  [[nodiscard]] virtual std::string resume_ticket() const { return {}; }
};

enum class VmEvent : unsigned char {
  paused,
  resumed,
  reset,
  layout_changed,
  state_unclear, ///< the guest may have run since it was last known to stand
  gone,
};

class VmListener {
public:
  virtual ~VmListener() = default;
  /// Called on any thread, also from inside a call into the driver; must return soon and must not call
  /// back into the driver. An event may be told twice, or late, but what it tells of happened before
  /// anything that a later call of run_status() finds.
  virtual void on_vm_event(VmEvent event) = 0;
};

class Driver {
public:
  Driver() = default;
  Driver(const Driver&) = delete;
  Driver& operator=(const Driver&) = delete;
  virtual ~Driver() = default;

  [[nodiscard]] virtual const VmIdentity& identity() const = 0;
  [[nodiscard]] virtual std::uint32_t vcpu_count() const = 0;

  /// The memory map as last known; never null, never blocks.
  [[nodiscard]] virtual std::shared_ptr<const MemoryMap> memory_map() const = 0;

  /// Reads all pieces, each with its own result. A piece may cross region borders; it then ends at
  /// the first address without memory (failure = hole). Where the VM is gone every piece fails with
  /// vm_gone. Allocates no guest memory. Bytes of a buffer beyond `done` are undefined.
  virtual void read(std::span<ReadPiece> pieces) = 0;

  /// Reads the memory map anew, whatever it costs. Not for the read path.
  [[nodiscard]] virtual Result<void> refresh() = 0;

  /// Takes over a changed memory map where that is cheap (microseconds, no monitor); else does
  /// nothing. `missed` says that somebody has just read where the map has a hole. For the read path.
  virtual void poll_layout(bool missed) { static_cast<void>(missed); }

  /// Looks whether a VM that run_status() last found standing may have run since, where that is cheap
  /// (microseconds, no monitor), and tells the listener. For the read path.
  virtual void poll_run_state() {}

  /// How long it may take at most until the listener has heard that somebody else let the VM run, if
  /// poll_run_state() is called before every read. Nothing: it may never hear of it.
  [[nodiscard]] virtual std::optional<std::chrono::milliseconds> state_delay() const { return std::nullopt; }

  /// The memory can't change at all, as that of a dump.
  [[nodiscard]] virtual bool frozen() const { return false; }

  [[nodiscard]] virtual ReadCost read_cost() const { return {}; }

  /// True once the VM has ended; stays true.
  [[nodiscard]] virtual bool gone() const = 0;

  [[nodiscard]] virtual AccessReport access() const = 0;
  [[nodiscard]] virtual std::vector<ProbeResult> probe() const { return {}; }

  /// At most one listener; nullptr removes it, and when that call returns it is not called any more.
  virtual void set_listener(VmListener* listener) = 0;

  // The rest by asking. Pointers stay valid as long as the driver.
  [[nodiscard]] virtual DirectMemory* direct_memory() { return nullptr; }
  [[nodiscard]] virtual MemoryWriter* memory_writer() { return nullptr; }
  [[nodiscard]] virtual RegisterReader* register_reader() { return nullptr; }
  [[nodiscard]] virtual RegisterWriter* register_writer() { return nullptr; }
  [[nodiscard]] virtual RunControl* run_control() { return nullptr; }
};

} // namespace vmemfs
