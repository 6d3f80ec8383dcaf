// SPDX-License-Identifier: MIT
// The interface of a guest, as files see it: identity, memory and registers. An attached VM is one.
#pragma once

#include "core/error.h"
#include "core/gpa.h"
#include "core/register_layout.h"
#include "core/register_set.h"
#include "driver/driver.h"
#include "vm/cache/kernel_cache_use.h"
#include "vm/memory/address_space.h"
#include "vm/vm_counters.h"

#include <chrono>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

namespace vmemfs {

class LinuxGuest;
class MadeImages;

/// Thread-safe. A file that needs only memory or registers takes a Guest, not a Vm, so that it can show other
/// guests too.
class Guest {
public:
  Guest() = default;
  Guest(const Guest&) = delete;
  Guest& operator=(const Guest&) = delete;
  virtual ~Guest() = default;

  [[nodiscard]] virtual const std::string& name() const = 0; ///< of its directory
  [[nodiscard]] virtual const VmIdentity& identity() const = 0;
  /// The vCPUs that it has now; see Driver::vcpus().
  [[nodiscard]] virtual VcpuSet vcpus() const = 0;
  /// How memory and registers are reached, and what was tried.
  [[nodiscard]] virtual AccessReport access() const = 0;
  [[nodiscard]] virtual std::vector<ProbeResult> probe() const = 0;

  /// It does not exist any more; stays true. Every operation then fails with vm_gone.
  [[nodiscard]] virtual bool gone() const = 0;
  /// Its memory and registers cannot change at all.
  [[nodiscard]] virtual bool frozen() const = 0;
  /// A number that changes before its memory or a register can: what was read after this call is valid as
  /// long as the number is the same. nullopt: both may change at any time. Polls the run state if that is
  /// cheap.
  [[nodiscard]] virtual std::optional<std::uint64_t> stable_epoch() { return std::nullopt; }
  /// The same for pages of its memory that the kernel is given to keep, which are dropped when the number
  /// changes; nullopt: it is given none, by the settings or because the memory may change.
  [[nodiscard]] virtual std::optional<std::uint64_t> page_cache_epoch() { return std::nullopt; }
  /// Whether files of its memory that are opened for reading now are read through the kernel's page cache.
  [[nodiscard]] virtual KernelCacheUse kernel_cache_use() { return KernelCacheUse::off; }
  /// Time of the last possible change of its memory.
  [[nodiscard]] virtual std::chrono::system_clock::time_point last_change() const = 0;

  [[nodiscard]] virtual AddressSpace& memory() = 0;

  /// nullptr if registers can be neither read nor set.
  [[nodiscard]] virtual const RegisterLayout* register_layout() const = 0;
  /// One set for each of `vcpus`. See RegisterReader. vcpu_gone: it has no such vCPU now.
  [[nodiscard]] virtual Result<std::vector<RegisterSet>> read_registers(std::span<const VcpuId> vcpus) = 0;
  /// Sets registers, if that is allowed. See RegisterWriter.
  [[nodiscard]] virtual Result<void> write_registers(VcpuId vcpu, std::span<const RegisterValue> values) = 0;

  /// The guest as one that may run Linux; null: it cannot be searched.
  [[nodiscard]] virtual LinuxGuest* linux_guest() { return nullptr; }

  /// What images of it have beside its memory; null: nothing is kept.
  [[nodiscard]] virtual MadeImages* made_images() { return nullptr; }

  /// Why a file of its memory could not be opened, to be reported with failed operations.
  virtual void report_refusal(const Error& error) { static_cast<void>(error); }

  /// Whoever reads its memory, or has it carry out a control command, counts that; the rest is counted here.
  [[nodiscard]] virtual VmCounters& counters() = 0;
};

} // namespace vmemfs
