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
#include "core/registers.h"

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

/// What the user is told about a VM; fixed for the life of the driver instance.
struct VmIdentity {
  std::string name;   ///< as the hypervisor has it, not trusted, may be empty
  std::string uuid;   ///< may be empty
  std::string driver; ///< name of the driver
};

/// How things are reached and why, in words, for `info`.
struct AccessReport {
  std::string map;
  std::string ram;
  std::string registers;
  std::string run_control;
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

class RegisterReader {
public:
  virtual ~RegisterReader() = default;
  [[nodiscard]] virtual Result<RegisterSet> read_registers(VcpuId vcpu) = 0;
};

class RegisterWriter {
public:
  virtual ~RegisterWriter() = default;
  /// Sets all of `values` or, where one can't be set, reports which; registers before it may have
  /// been set by then. A running VM is stopped for as long as it takes.
  [[nodiscard]] virtual Result<void> write_registers(VcpuId vcpu, std::span<const RegisterValue> values) = 0;
};

struct RunStatus {
  bool running;
  std::string detail; ///< the hypervisor's own word: "running", "paused", "prelaunch", ...
};

/// Both commands are idempotent and return when the VM is in the state that was asked for.
class RunControl {
public:
  virtual ~RunControl() = default;
  [[nodiscard]] virtual Result<RunStatus> run_status() = 0;
  [[nodiscard]] virtual Result<void> pause() = 0;
  [[nodiscard]] virtual Result<void> resume() = 0;
};

enum class VmEvent : unsigned char { paused, resumed, reset, layout_changed, gone };

class VmListener {
public:
  virtual ~VmListener() = default;
  /// Called on a thread of the driver; must return soon and must not call back into the driver.
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
  virtual void follow_layout(bool missed) { static_cast<void>(missed); }

  /// True once the VM has ended; stays true.
  [[nodiscard]] virtual bool gone() const = 0;

  [[nodiscard]] virtual AccessReport access() const = 0;
  [[nodiscard]] virtual std::vector<ProbeResult> probe() const { return {}; }

  /// At most one listener; nullptr removes it, and when that call returns it is not called any more.
  virtual void set_listener(VmListener* listener) = 0;

  // The rest by asking. Pointers stay valid as long as the driver.
  [[nodiscard]] virtual DirectMemory* direct_memory() { return nullptr; }
  [[nodiscard]] virtual RegisterReader* register_reader() { return nullptr; }
  [[nodiscard]] virtual RegisterWriter* register_writer() { return nullptr; }
  [[nodiscard]] virtual RunControl* run_control() { return nullptr; }
};

} // namespace vmemfs
