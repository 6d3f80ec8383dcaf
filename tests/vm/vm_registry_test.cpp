// SPDX-License-Identifier: MIT
#include "drivers/fake/fake_driver.h"
#include "support/files.h"
#include "util/worker.h"
#include "vm/vm_registry.h"

#include <atomic>
#include <gtest/gtest.h>
#include <thread>

namespace vmemfs {
namespace {

std::unique_ptr<FakeDriver> fake() { return std::move(*FakeDriver::create({})); }

TEST(VmRegistry, Add_NamesAreUniqueAndFound) {
  CacheBudget budget{0};
  Worker worker; // destroyed first, as its last job may destroy a VM
  VmRegistry vms{{.notifier = worker,
                  .jobs = worker,
                  .prefetch_jobs = worker,
                  .slow_prefetch_jobs = worker,
                  .cache_budget = budget}};
  const auto vm = vms.add("a", fake());
  ASSERT_TRUE(vm.has_value());
  EXPECT_EQ(vms.find("a"), *vm);
  EXPECT_EQ(vms.find((*vm)->id()), *vm);
  EXPECT_EQ(vms.find("b"), nullptr);
  const auto again = vms.add("a", fake());
  ASSERT_FALSE(again.has_value());
  EXPECT_EQ(again.error().kind, ErrorKind::busy);
  vms.remove((*vm)->id());
  EXPECT_EQ(vms.find("a"), nullptr);
  const auto later = vms.add("a", fake());
  ASSERT_TRUE(later.has_value());
  EXPECT_NE((*later)->id(), (*vm)->id());
}

TEST(VmRegistry, Add_InvalidFileName_IsRefused) {
  CacheBudget budget{0};
  Worker worker; // destroyed first, as its last job may destroy a VM
  VmRegistry vms{{.notifier = worker,
                  .jobs = worker,
                  .prefetch_jobs = worker,
                  .slow_prefetch_jobs = worker,
                  .cache_budget = budget}};
  for (const std::string& name :
       {std::string{}, std::string{"."}, std::string{".."}, std::string{".vmemfs"}, std::string{"a/b"},
        std::string{"a\nb"}, std::string{"a\0b", 3}, std::string(256, 'x')}) {
    EXPECT_FALSE(vms.add(name, fake()).has_value()) << name;
  }
  EXPECT_TRUE(vms.add("weiß-01 (test)", fake()).has_value());
}

TEST(VmRegistry, Detach_FreesTheName) {
  CacheBudget budget{0};
  Worker worker; // destroyed first, as its last job may destroy a VM
  VmRegistry vms{{.notifier = worker,
                  .jobs = worker,
                  .prefetch_jobs = worker,
                  .slow_prefetch_jobs = worker,
                  .cache_budget = budget}};
  worker.post([] {
    std::this_thread::sleep_for(std::chrono::milliseconds{50});
  }); // so that the first one cannot be removed yet
  const auto first = vms.add("a", fake());
  ASSERT_TRUE(first.has_value());
  EXPECT_FALSE(vms.add("a", fake()).has_value());
  (*first)->detach();
  const auto second = vms.add("a", fake());
  ASSERT_TRUE(second.has_value());
  EXPECT_EQ(vms.find("a"), *second);
  EXPECT_TRUE(test::eventually([&] { return vms.all().size() == 1; }));
  EXPECT_EQ(vms.find("a"), *second);
}

TEST(VmRegistry, FindKey_GivesTheLiveVmOfThatKey) {
  CacheBudget budget{0};
  Worker worker; // destroyed first, as its last job may destroy a VM
  VmRegistry vms{{.notifier = worker,
                  .jobs = worker,
                  .prefetch_jobs = worker,
                  .slow_prefetch_jobs = worker,
                  .cache_budget = budget}};
  const auto of_key = [](const std::string& key) {
    FakeOptions options;
    options.key = key;
    return std::move(*FakeDriver::create(std::move(options)));
  };
  worker.post([] {
    std::this_thread::sleep_for(std::chrono::milliseconds{50});
  }); // so that the first one cannot be removed yet
  const auto first = vms.add("a", of_key("k"));
  ASSERT_TRUE(first.has_value());
  ASSERT_TRUE(vms.add("b", of_key("l")).has_value());
  EXPECT_EQ(vms.find_key("k"), *first);
  EXPECT_EQ(vms.find_key("m"), nullptr);
  EXPECT_EQ(vms.find_key(""), nullptr);
  (*first)->detach();
  EXPECT_EQ(vms.find_key("k"), nullptr);
  const auto second = vms.add("c", of_key("k"));
  ASSERT_TRUE(second.has_value());
  EXPECT_EQ(vms.find_key("k"), *second);
  EXPECT_TRUE(test::eventually([&] { return vms.all().size() == 2; }));
  EXPECT_EQ(vms.find_key("k"), *second);
}

TEST(VmRegistry, VmEnded_IsRemovedAndReported) {
  CacheBudget budget{0};
  Worker worker; // destroyed first, as its last job may destroy a VM
  VmRegistry vms{{.notifier = worker,
                  .jobs = worker,
                  .prefetch_jobs = worker,
                  .slow_prefetch_jobs = worker,
                  .cache_budget = budget}};
  std::atomic<int> removed{0};
  vms.set_callbacks({.changed = {}, .removed = [&](const Vm&) { ++removed; }});
  auto driver = fake();
  FakeDriver* const raw = driver.get();
  const auto vm = vms.add("a", std::move(driver));
  ASSERT_TRUE(vm.has_value());
  raw->die();
  EXPECT_TRUE(test::eventually([&] { return vms.all().empty(); }));
  EXPECT_TRUE(test::eventually([&] { return removed == 1; }));

  auto dead = fake();
  dead->die();
  ASSERT_TRUE(vms.add("b", std::move(dead)).has_value());
  EXPECT_TRUE(test::eventually([&] { return vms.all().empty(); }));
}

} // namespace
} // namespace vmemfs
