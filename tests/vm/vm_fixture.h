// SPDX-License-Identifier: MIT
// Fixture with a Vm over the fake driver, and all services that it needs.
#pragma once

#include "driver/decorators/fault_driver.h"
#include "driver/decorators/metrics_driver.h"
#include "drivers/fake/fake_driver.h"
#include "support/files.h"
#include "util/worker.h"
#include "vm/cache/cache_budget.h"
#include "vm/vm.h"

#include <atomic>
#include <cstring>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <utility>

namespace vmemfs::test {

/// Records which VMs are guarded.
class NotedGuard : public PauseGuard {
public:
  Result<void> arm(std::uint32_t vm, std::string_view /*driver*/, std::string_view ticket) override {
    if (refuse) {
      return fail(ErrorKind::source_failed, "guard", "no guard available");
    }
    const std::scoped_lock lock{mutex_};
    armed_[vm] = ticket;
    return {};
  }
  void disarm(std::uint32_t vm) override {
    const std::scoped_lock lock{mutex_};
    armed_.erase(vm);
  }
  [[nodiscard]] std::size_t armed() const {
    const std::scoped_lock lock{mutex_};
    return armed_.size();
  }

  std::atomic<bool> refuse{false};

private:
  mutable std::mutex mutex_;
  std::map<std::uint32_t, std::string> armed_;
};

struct VmFixture {
  using Wrap = std::function<std::unique_ptr<Driver>(std::unique_ptr<Driver>)>;
  /// `delay`: of each read; `wrap`: adds a decorator of the test.
  explicit VmFixture(FakeOptions options = {}, VmOptions vm_options = {},
                     std::chrono::microseconds delay = {}, const Wrap& wrap = {});

  /// pread of `size` bytes; a failure is stored in `error`.
  std::vector<std::byte> read(std::uint64_t offset, std::size_t size, HolePolicy policy = HolePolicy::honest);
  [[nodiscard]] std::uint64_t word(std::uint64_t offset);
  void write_word(std::uint64_t offset, std::uint64_t value) const;

  EventLog events;
  CacheBudget budget{std::size_t{64} << 20U};
  NotedGuard guard;
  std::atomic<int> changes{0};
  std::atomic<int> drops{0};
  Worker jobs{2};
  Worker prefetch_worker{1};
  Worker slow_prefetch_worker{3};
  FakeDriver* fake = nullptr;
  FaultDriver* fault = nullptr;
  MetricsDriver* metrics = nullptr;
  std::shared_ptr<Vm> vm;
  ReadScratch scratch;
  ReadAhead read_ahead;
  ErrorKind error{};
};

} // namespace vmemfs::test
