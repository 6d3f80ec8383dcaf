// SPDX-License-Identifier: MIT
// A registry of VMs with the workers of a mount, for tests of what lists or attaches VMs.
#pragma once

#include "util/worker.h"
#include "vm/cache/cache_budget.h"
#include "vm/vm_registry.h"

#include <gtest/gtest.h>

namespace vmemfs {

class RegistryTest : public testing::Test {
protected:
  ~RegistryTest() override { stop_workers(); }

  /// Call it first in the destructor of a test whose members the jobs use.
  void stop_workers() {
    jobs_.stop();
    notifier_.stop();
  }

  Worker notifier_;
  Worker jobs_;
  Worker prefetch_;
  CacheBudget budget_{1U << 20U};
  VmRegistry vms_{{.notifier = notifier_,
                   .jobs = jobs_,
                   .prefetch_jobs = prefetch_,
                   .slow_prefetch_jobs = prefetch_,
                   .cache_budget = budget_}};
};

} // namespace vmemfs
