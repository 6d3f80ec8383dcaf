// SPDX-License-Identifier: MIT
#include "vm/linux/linux_guest.h"

#include "arch/aarch64/registers.h"
#include "util/work_limit.h"
#include "vm/linux/architecture/kernel_architecture.h"

#include <utility>
#include <vector>

namespace vmemfs {

LinuxGuest::LinuxGuest(Guest& guest, std::shared_ptr<KernelBudget> budget)
    : guest_{guest}, budget_{std::move(budget)}, finder_{guest.memory()}, saved_finder_{guest.memory()},
      live_finder_{guest.memory()} {
  if (budget_ != nullptr) {
    budget_->add(*this);
  }
}

LinuxGuest::~LinuxGuest() {
  if (budget_ != nullptr) {
    budget_->remove(*this);
  }
}

Result<std::shared_ptr<KernelFacts>> LinuxGuest::kernel() {
  if (auto kept = known(); kept != nullptr && guest_.frozen()) {
    return kept;
  }
  return read_registers().and_then([this](const auto& registers) { return facts_of(registers); });
}

Result<std::shared_ptr<KernelFacts>> LinuxGuest::kernel_to_list() {
  auto kept = known();
  if (kept != nullptr && guest_.frozen()) {
    return kept;
  }
  bool late = false;
  const auto registers = [&] {
    const WorkLimit limit{WorkLimit::Clock::now() + (kept != nullptr ? kListingWait : kFirstListingWait)};
    auto read = read_registers();
    late = !read && WorkLimit::over();
    return read;
  }();
  if (late && kept != nullptr) {
    return kept;
  }
  return registers.and_then([this](const auto& of_vcpus) { return facts_of(of_vcpus); });
}

Result<std::shared_ptr<KernelFacts>> LinuxGuest::facts_of(std::span<const RegisterSet> registers) {
  auto kernel = find(registers);
  std::shared_ptr<KernelFacts> former; // its end is not waited for under the lock
  const MutexLock lock{mutex_};
  if (!kernel) {
    former = std::exchange(facts_, nullptr);
    return tl::unexpected{std::move(kernel.error())};
  }
  // Its text has where it lies and which build it is.
  if (facts_ == nullptr || facts_->kernel().page != kernel->page ||
      facts_->kernel().info.text != kernel->info.text) {
    former = std::exchange(facts_, std::make_shared<KernelFacts>(guest_.memory(), std::move(*kernel)));
  }
  return facts_;
}

LinuxGuest::Source LinuxGuest::source() const {
  const RegisterLayout* const layout = guest_.register_layout();
  // Those of aarch64 are without TTBR1_EL1.
  const bool shows_page_tables = layout != nullptr && layout != &aarch64::register_layout();
  if (shows_page_tables) {
    return Source::registers;
  }
  if (guest_.frozen()) {
    return Source::saved_memory;
  }
  // Of other guests registers are missing for a reason that may go away, and then tell more.
  return guest_.identity().architecture == aarch64_kernels().name() ? Source::live_memory : Source::registers;
}

Result<LinuxKernel> LinuxGuest::find(std::span<const RegisterSet> registers) {
  switch (source()) {
  case Source::saved_memory: return saved_finder_.find();
  case Source::live_memory: return live_finder_.find();
  case Source::registers: break;
  }
  return finder_.find(registers);
}

Result<std::vector<RegisterSet>> LinuxGuest::read_registers() {
  if (has_memory_only()) {
    return {};
  }
  const VcpuSet vcpus = guest_.vcpus();
  const std::vector<VcpuId> all{vcpus.begin(), vcpus.end()};
  return guest_.read_registers(all);
}

std::shared_ptr<KernelFacts> LinuxGuest::known() const {
  const MutexLock lock{mutex_};
  return facts_;
}

bool LinuxGuest::may_show(const std::string& name) {
  const MutexLock lock{mutex_};
  if (shown_names_.size() < kMaxNames) {
    shown_names_.insert(name);
  }
  return shown_names_.contains(name);
}

void LinuxGuest::note_use() {
  if (budget_ != nullptr) {
    budget_->note_use(*this);
  }
}

std::size_t LinuxGuest::kept_bytes() const {
  const auto facts = known();
  return facts != nullptr ? facts->bytes() : 0;
}

void LinuxGuest::drop_kept() {
  std::shared_ptr<KernelFacts> former;
  const MutexLock lock{mutex_};
  former = std::exchange(facts_, nullptr);
}

} // namespace vmemfs
