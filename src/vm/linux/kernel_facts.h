// SPDX-License-Identifier: MIT
// Facts about a Linux kernel that runs in a guest, each read when it is first asked for.
#pragma once

#include "core/error.h"
#include "linux/btf/types.h"
#include "linux/modules/module_types.h"
#include "linux/running_kernel.h"
#include "linux/symbols/image_range.h"
#include "linux/symbols/kernel_symbols.h"
#include "linux/vmlinux/elf_writer.h"
#include "util/mutex.h"
#include "vm/linux/lazy.h"
#include "vm/linux/linux_kernel.h"
#include "vm/linux/paged_memory.h"
#include "vm/memory/address_space.h"

#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace vmemfs {

/// Thread-safe. Valid as long as the guest runs this kernel; see LinuxGuest. The guest's memory must outlive
/// it.
class KernelFacts {
public:
  KernelFacts(AddressSpace& memory, LinuxKernel kernel)
      : kernel_{std::move(kernel)}, memory_{memory, kernel_} {}
  ~KernelFacts() = default;
  KernelFacts(const KernelFacts&) = delete;
  KernelFacts& operator=(const KernelFacts&) = delete;

  [[nodiscard]] const LinuxKernel& kernel() const { return kernel_; }
  [[nodiscard]] PagedMemory& memory() { return memory_; }
  /// How far KASLR moved the kernel from the addresses that it is linked for; 0 if VMCOREINFO does not say.
  [[nodiscard]] std::uint64_t kaslr_offset() const;

  [[nodiscard]] Lazy<KernelSymbols>::Value symbols();
  /// Whether it has symbols of data too; no_data: why not.
  [[nodiscard]] Result<void> has_data_symbols();
  /// With its newline, as /proc/version.
  [[nodiscard]] Lazy<std::string>::Value banner();
  [[nodiscard]] Lazy<btf::Types>::Value types();
  /// nm(1)'s form with the addresses that the kernel is linked for, as the System.map of a build.
  [[nodiscard]] Lazy<std::string>::Value system_map();

  /// The kernel as an ELF file with symbols and types; with symbols alone if it has no types.
  [[nodiscard]] Lazy<ElfFile>::Value vmlinux();

  /// Types and symbols as Volatility 3 reads them.
  [[nodiscard]] Lazy<std::string>::Value isf();

  [[nodiscard]] std::optional<std::uint64_t> banner_address();
  /// Of init_task, by the symbols or else by what it has.
  [[nodiscard]] Lazy<std::uint64_t>::Value idle_task();
  /// Its variable vmcoreinfo_data, by the symbols or else by what it points to: this VMCOREINFO.
  [[nodiscard]] std::optional<std::uint64_t> vmcoreinfo_variable();

  // What follows is read of the guest at each call, because it changes.

  /// A list that is made of the running kernel, such as its processes. timed_out: it took too long.
  [[nodiscard]] Result<std::string> list(Result<std::string> (*make)(const RunningKernel&));

  /// The symbols of its modules, as /proc/kallsyms has them; see module_symbols.h.
  [[nodiscard]] Result<std::string> module_symbols();
  /// The modules that have types. What was read last is good for kListValid, as a directory is listed by many
  /// requests.
  [[nodiscard]] Result<std::vector<ModuleTypes>> modules_with_types() EXCLUDES(mutex_);
  static constexpr std::chrono::seconds kListValid{1};
  /// The types of the module with this name.
  [[nodiscard]] Result<std::shared_ptr<const btf::Types>> module_types(std::string_view name);

  // Sizes of what was made; 0: it was not. They wait for nobody.
  [[nodiscard]] std::size_t types_bytes() const;
  [[nodiscard]] std::size_t symbol_map_bytes() const; ///< of a text with all symbols
  [[nodiscard]] std::uint64_t vmlinux_bytes() const;
  [[nodiscard]] std::size_t isf_bytes() const;
  /// Why the ISF could not be made when somebody last asked for it.
  [[nodiscard]] std::optional<Error> isf_failure() const { return isf_.failure(); }
  [[nodiscard]] std::size_t kallsyms_bytes() const { return kallsyms_bytes_; } ///< with those of modules
  [[nodiscard]] std::size_t module_types_bytes(std::string_view name) const EXCLUDES(mutex_);
  /// modules_with_types() waits for nobody now.
  [[nodiscard]] bool knows_modules() const EXCLUDES(mutex_);

  /// Memory that this object takes, in bytes. Waits for nobody.
  [[nodiscard]] std::size_t bytes() const;

private:
  using Clock = std::chrono::steady_clock;

  /// read(RunningKernel), with a time limit. no_data: its symbols or types are not known.
  template <typename Read> [[nodiscard]] auto with_types(Read&& read);

  [[nodiscard]] KernelImageRange image() const;

  const LinuxKernel kernel_;
  PagedMemory memory_;
  Lazy<KernelSymbols> symbols_;
  Lazy<std::string> banner_;
  Lazy<btf::Types> types_;
  Lazy<std::uint64_t> idle_task_;
  Lazy<std::string> system_map_;
  Lazy<ElfFile> vmlinux_;
  Lazy<std::string> isf_;

  std::atomic<std::size_t> kallsyms_bytes_{0};
  mutable Mutex mutex_; ///< leaf
  std::vector<ModuleTypes> modules_ GUARDED_BY(mutex_);
  Clock::time_point modules_end_ GUARDED_BY(mutex_){}; ///< when they are to be read again
};

} // namespace vmemfs
