// SPDX-License-Identifier: MIT
// A guest as one that may run Linux: what is known of the kernel that it runs now.
#pragma once

#include "core/error.h"
#include "util/mutex.h"
#include "vm/guest.h"
#include "vm/linux/kernel_budget.h"
#include "vm/linux/kernel_facts.h"
#include "vm/linux/kernel_finder.h"
#include "vm/linux/live_kernel_finder.h"
#include "vm/linux/saved_kernel_finder.h"

#include <array>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <memory>
#include <set>
#include <span>
#include <string>
#include <vector>

namespace vmemfs {

/// Texts that are made of a kernel, for their sizes.
enum class KernelText : unsigned char { banner, vmcoreinfo, dmesg, ps, modules, mounts, sockets };
inline constexpr std::size_t kKernelTexts = static_cast<std::size_t>(KernelText::sockets) + 1;

/// One per guest, which owns it. Thread-safe. Nothing is searched before somebody asks.
class LinuxGuest final : public KernelBudget::User {
public:
  /// The guest outlives this object. `budget` may be null: what is kept has no limit.
  LinuxGuest(Guest& guest, std::shared_ptr<KernelBudget> budget);
  ~LinuxGuest() override;
  LinuxGuest(const LinuxGuest&) = delete;
  LinuxGuest& operator=(const LinuxGuest&) = delete;

  /// The kernel that the guest runs now, proven by this call, unless the guest is frozen. Waits for the
  /// guest's registers and memory. no_data: it runs none that is known; other failures are those of reading
  /// registers. What was read of another kernel is dropped.
  [[nodiscard]] Result<std::shared_ptr<KernelFacts>> kernel() EXCLUDES(mutex_);

  /// The same for the names in a directory, which have to come soon: a VM whose registers do not come within
  /// a moment has the kernel that was found last.
  [[nodiscard]] Result<std::shared_ptr<KernelFacts>> kernel_to_list() EXCLUDES(mutex_);
  /// How long registers are waited for then, if a kernel was found before and if none was.
  static constexpr std::chrono::milliseconds kListingWait{200};
  static constexpr std::chrono::milliseconds kFirstListingWait{1000};

  /// The kernel that was found last; it may not run any more. nullptr: none was. Waits for nobody.
  [[nodiscard]] std::shared_ptr<KernelFacts> known() const EXCLUDES(mutex_);

  /// Size in bytes of a text that was made, and of the last one; 0: none was. Both wait for nobody.
  void note_text(KernelText text, std::size_t bytes) {
    text_bytes_.at(static_cast<std::size_t>(text)) = bytes;
  }
  [[nodiscard]] std::size_t text_bytes(KernelText text) const {
    return text_bytes_.at(static_cast<std::size_t>(text));
  }

  /// Whether a file may have this name, which the guest made up. The mount remembers all names that it has
  /// shown of a VM, so these are limited: to kMaxNames different ones.
  [[nodiscard]] bool may_show(const std::string& name) EXCLUDES(mutex_);
  static constexpr std::size_t kMaxNames = 4096;

  /// What is kept may have grown.
  void note_use();

  /// Where the proof comes from that a kernel in memory is the one that runs.
  enum class Source : unsigned char {
    registers,    ///< of the vCPUs
    saved_memory, ///< without registers that show page tables: the kernel's own structures
    live_memory,  ///< the same of a guest that may run
  };
  /// Waits for nobody.
  [[nodiscard]] Source source() const;
  [[nodiscard]] bool has_memory_only() const { return source() != Source::registers; }

  /// The kernel that the guest runs now. `registers`: of all its vCPUs; not used if it has memory only. Keeps
  /// and drops nothing. Waits for the guest's memory. no_data: it runs none that is known.
  [[nodiscard]] Result<LinuxKernel> find(std::span<const RegisterSet> registers);

private:
  /// Of all vCPUs; none if it has memory only.
  [[nodiscard]] Result<std::vector<RegisterSet>> read_registers();
  /// What is known of the kernel that these vCPUs run now.
  [[nodiscard]] Result<std::shared_ptr<KernelFacts>> facts_of(std::span<const RegisterSet> registers)
      EXCLUDES(mutex_);
  [[nodiscard]] std::size_t kept_bytes() const override;
  void drop_kept() override;

  Guest& guest_;
  const std::shared_ptr<KernelBudget> budget_;
  LinuxKernelFinder finder_;
  SavedKernelFinder saved_finder_; ///< of a guest that has memory only, as the next
  LiveKernelFinder live_finder_;
  std::array<std::atomic<std::size_t>, kKernelTexts> text_bytes_{};
  mutable Mutex mutex_; ///< leaf
  std::shared_ptr<KernelFacts> facts_ GUARDED_BY(mutex_);
  std::set<std::string> shown_names_ GUARDED_BY(mutex_);
};

} // namespace vmemfs
