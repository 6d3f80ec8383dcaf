// SPDX-License-Identifier: MIT
// Finding VMs with the test's own discovery and fake VMs.
#include "drivers/fake/fake_driver.h"
#include "support/files.h"
#include "util/worker.h"
#include "vm/discovery/vm_finder.h"

#include <algorithm>
#include <atomic>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <map>
#include <thread>

namespace vmemfs {
namespace {

using std::chrono::milliseconds;
using test::eventually;
using testing::ElementsAre;
using testing::IsEmpty;

/// A simulated hypervisor: its VMs, and how they can be opened.
class Host {
public:
  void start(const std::string& key, const std::string& name, const std::string& manager = {}) {
    const std::scoped_lock lock{mutex_};
    vms_.push_back({.key = key, .name = name, .uuid = {}, .number = key, .params = key, .manager = manager});
  }
  void end(const std::string& key) {
    const std::scoped_lock lock{mutex_};
    std::erase_if(vms_, [&](const FoundVm& vm) { return vm.key == key; });
    if (const auto open = drivers_.find(key); open != drivers_.end()) {
      open->second->die();
      drivers_.erase(open);
    }
  }
  void refuse(const std::string& key, ErrorKind kind) {
    const std::scoped_lock lock{mutex_};
    refused_[key] = kind;
  }
  void allow(const std::string& key) {
    const std::scoped_lock lock{mutex_};
    refused_.erase(key);
  }
  [[nodiscard]] std::vector<FoundVm> vms() const {
    const std::scoped_lock lock{mutex_};
    return vms_;
  }
  Result<std::unique_ptr<Driver>> open(const VmSpec& spec) {
    ++opened;
    std::this_thread::sleep_for(slowness.load());
    const std::scoped_lock lock{mutex_};
    const auto vm = std::ranges::find(vms_, spec.params, &FoundVm::key);
    if (vm == vms_.end()) {
      return fail(ErrorKind::not_found, "host", "no such VM");
    }
    if (const auto why = refused_.find(vm->key); why != refused_.end()) {
      return fail(why->second, "host", "refused, as the test wants it");
    }
    FakeOptions options;
    options.name = vm->name;
    options.key = vm->key;
    auto driver = FakeDriver::create(std::move(options));
    drivers_[vm->key] = driver->get();
    return std::unique_ptr<Driver>{std::move(*driver)};
  }

  std::atomic<int> opened{0};
  std::atomic<milliseconds> slowness{milliseconds{0}};
  std::atomic<bool> closed{false}; ///< scans are denied

private:
  mutable std::mutex mutex_;
  std::vector<FoundVm> vms_;
  std::map<std::string, ErrorKind> refused_;
  std::map<std::string, FakeDriver*> drivers_;
};

class HostDiscovery : public Discovery {
public:
  explicit HostDiscovery(const Host& host) : host_{host} {}
  Result<std::vector<FoundVm>> scan() override {
    if (host_.closed) {
      return fail(ErrorKind::source_failed, "host", "closed, as the test wants it");
    }
    return host_.vms();
  }

private:
  const Host& host_;
};

class VmFinderTest : public testing::Test {
protected:
  void begin(std::vector<VmSpec> wanted = {}, milliseconds preferred_driver_wait = milliseconds{300}) {
    std::vector<VmFinder::Source> sources;
    sources.push_back({"better", std::make_unique<HostDiscovery>(better_)});
    sources.push_back({"fake", std::make_unique<HostDiscovery>(host_)});
    const VmFinder::Pace pace{.scan = milliseconds{5},
                              .young = milliseconds{50},
                              .max_wait = milliseconds{100},
                              .max_wait_wanted = milliseconds{50},
                              .quiet = milliseconds{20},
                              .preferred_driver_wait = preferred_driver_wait};
    finder_ = std::make_unique<VmFinder>(
        std::move(sources), std::move(wanted), attacher_,
        VmFinder::Callbacks{
            .refusal = [this](const Refusal& refusal) { report(refusal.name); },
            .discovery_error =
                [this](const DiscoveryError& error) { report(error.driver + " " + error.reason); }},
        pace);
    finder_->begin(std::chrono::seconds{10});
  }
  void report(std::string text) {
    const std::scoped_lock lock{reported_mutex_};
    reported_.push_back(std::move(text));
  }
  [[nodiscard]] std::vector<std::string> names() const {
    std::vector<std::string> names;
    for (const auto& vm : vms_.all()) {
      names.push_back(vm->name());
    }
    std::ranges::sort(names);
    return names;
  }
  [[nodiscard]] bool come_to_be(const std::vector<std::string>& expected) const {
    return eventually([&] { return names() == expected; });
  }
  [[nodiscard]] std::vector<std::string> reported() {
    const std::scoped_lock lock{reported_mutex_};
    return reported_;
  }

  Host host_;
  Host better_; ///< the same host as a preferred driver finds it
  CacheBudget budget_{0};
  Worker worker_;
  VmRegistry vms_{{.notifier = worker_,
                   .jobs = worker_,
                   .prefetch_jobs = worker_,
                   .slow_prefetch_jobs = worker_,
                   .cache_budget = budget_}};
  VmOptionsTable options_;
  Attacher attacher_{
      [this](const VmSpec& spec) { return spec.driver == "better" ? better_.open(spec) : host_.open(spec); },
      vms_, options_};
  std::mutex reported_mutex_;
  std::vector<std::string> reported_;
  std::unique_ptr<VmFinder> finder_;
};

TEST_F(VmFinderTest, VmsAtStart_AttachedAfterFirstScan) {
  for (int i = 0; i < 50; ++i) {
    host_.start(std::to_string(i), "vm" + std::to_string(i));
  }
  begin();
  EXPECT_EQ(names().size(), 50U);
}

TEST_F(VmFinderTest, VmsStartAndEnd_DirectoriesFollow) {
  begin();
  EXPECT_THAT(names(), IsEmpty());
  host_.start("1", "a");
  EXPECT_TRUE(come_to_be({"a"}));
  host_.start("2", "b");
  EXPECT_TRUE(come_to_be({"a", "b"}));
  host_.end("1");
  EXPECT_TRUE(come_to_be({"b"}));
  host_.start("3", "a");
  EXPECT_TRUE(come_to_be({"a", "b"}));
  EXPECT_EQ(host_.opened, 3);
}

TEST_F(VmFinderTest, SameName_OldestVmGetsIt) {
  host_.start("1", "web");
  host_.start("2", "web");
  host_.start("3", "web");
  host_.refuse("1", ErrorKind::busy);
  begin();
  EXPECT_TRUE(come_to_be({"web-2", "web-3"}));
  host_.allow("1");
  EXPECT_TRUE(come_to_be({"web", "web-2", "web-3"}));
  host_.end("1");
  EXPECT_TRUE(come_to_be({"web-2", "web-3"})); // no directory is renamed
  host_.start("4", "web-2");
  EXPECT_TRUE(come_to_be({"web-2", "web-2-4", "web-3"}));
}

TEST_F(VmFinderTest, DetachedVm_StaysDetached) {
  host_.start("1", "a");
  begin();
  ASSERT_TRUE(come_to_be({"a"}));
  const auto vm = vms_.find("a");
  EXPECT_TRUE(attacher_.detach("a").has_value());
  EXPECT_TRUE(come_to_be({}));
  EXPECT_TRUE(vm->gone());
  ReadScratch scratch;
  EXPECT_EQ(vm->guest().memory().read(0, 16, HolePolicy::padded, scratch, nullptr).error(),
            ErrorKind::vm_gone);
  EXPECT_EQ(vm->run_state().pause().error().kind, ErrorKind::vm_gone);
  std::this_thread::sleep_for(milliseconds{50});
  EXPECT_THAT(names(), IsEmpty());
  EXPECT_THAT(finder_->refused(), IsEmpty());
  EXPECT_TRUE(attacher_.attach({"again", "fake", "1"}).has_value()); // unless it is requested
  EXPECT_FALSE(attacher_.detach("nobody").has_value());
}

TEST_F(VmFinderTest, RefusedVm_IsRetriedAndReportedOnce) {
  host_.start("1", "a");
  host_.refuse("1", ErrorKind::permission);
  begin();
  ASSERT_EQ(finder_->refused().size(), 1U);
  EXPECT_EQ(finder_->refused().front().name, "a");
  EXPECT_THAT(finder_->refused().front().reason, testing::HasSubstr("as the test wants it"));
  EXPECT_TRUE(eventually([&] { return host_.opened >= 5; }));
  EXPECT_THAT(reported(), ElementsAre("a"));
  host_.allow("1");
  EXPECT_TRUE(come_to_be({"a"}));
  EXPECT_TRUE(eventually([&] { return finder_->refused().empty(); }));
}

TEST_F(VmFinderTest, RefusedVm_GivenUp_IsNotTriedAgain) {
  host_.start("1", "a");
  host_.refuse("1", ErrorKind::busy);
  begin({{"mine", "fake", "2"}});
  EXPECT_TRUE(eventually([&] { return finder_->refused().size() == 2; }));
  EXPECT_FALSE(finder_->give_up("b"));
  EXPECT_TRUE(finder_->give_up("a"));
  EXPECT_TRUE(finder_->give_up("mine"));
  EXPECT_FALSE(finder_->give_up("a"));
  EXPECT_TRUE(eventually([&] { return finder_->refused().empty(); }));
  host_.allow("1");
  host_.start("2", "c");
  EXPECT_TRUE(come_to_be({"c"})); // found, not wanted any more
  EXPECT_EQ(vms_.find("a"), nullptr);
}

TEST_F(VmFinderTest, DiscoveredVms_AreListed) {
  host_.start("2", "older");
  host_.start("1", "younger");
  host_.refuse("1", ErrorKind::busy);
  begin();
  const auto seen = finder_->discovered_vms();
  ASSERT_EQ(seen.size(), 2U);
  EXPECT_EQ(seen[0].vm.name, "older");
  EXPECT_EQ(seen[0].driver, "fake");
  EXPECT_EQ(seen[0].reason, "");
  EXPECT_EQ(seen[1].vm.name, "younger");
  EXPECT_THAT(seen[1].reason, testing::HasSubstr("as the test wants it"));
  EXPECT_THAT(finder_->discovery_errors(), IsEmpty());
  host_.closed = true;
  const DiscoveryError closed{"fake", "closed, as the test wants it"};
  EXPECT_TRUE(eventually([&] { return finder_->discovery_errors() == std::vector{closed}; }));
  EXPECT_EQ(names(), (std::vector<std::string>{"older"})); // attached VMs stay
  host_.closed = false;
  EXPECT_TRUE(eventually([&] { return finder_->discovery_errors().empty(); }));
  EXPECT_THAT(reported(), testing::Contains("fake closed, as the test wants it").Times(1));
}

TEST_F(VmFinderTest, VmSpecOptions_OverrideOptionsByName) {
  options_.by_name["a"] = {
      .writable = true, .cache_ttl = milliseconds{7}, .rights = {.owner = 5, .group = 6, .mode = 0640}};
  host_.start("1", "x");
  const auto vm = attacher_.attach({"a", "fake", "1", "mode=0444,group=9"});
  ASSERT_TRUE(vm.has_value()) << vm.error().message();
  EXPECT_TRUE((*vm)->write_gate().writable());
  EXPECT_EQ((*vm)->rights().owner, 5U);
  EXPECT_EQ((*vm)->rights().group, 9U);
  EXPECT_EQ((*vm)->rights().mode, 0444U);
  EXPECT_EQ(attacher_.attach({"b", "fake", "1", "mode=9"}).error().kind, ErrorKind::invalid);
  EXPECT_EQ(host_.opened, 1) << "errors are reported before anything is opened";
}

TEST_F(VmFinderTest, WantedVm_Restarted_GetsItsNameAgain) {
  begin({{"mine", "fake", "1"}});
  EXPECT_EQ(finder_->refused().size(), 1U);
  EXPECT_TRUE(eventually([&] { return reported() == std::vector<std::string>{"mine"}; }));
  host_.start("1", "a");
  EXPECT_TRUE(come_to_be({"mine"})); // and not also as "a"
  std::this_thread::sleep_for(milliseconds{50});
  EXPECT_THAT(names(), ElementsAre("mine"));
  host_.end("1");
  EXPECT_TRUE(come_to_be({}));
  host_.start("1", "a");
  EXPECT_TRUE(come_to_be({"mine"}));
  EXPECT_TRUE(attacher_.detach("mine").has_value());
  EXPECT_TRUE(eventually([&] { return vms_.find("mine") == nullptr; }));
}

/// A scan finds the VM during an attempt that began before the VM, or that takes long.
TEST_F(VmFinderTest, WantedVm_StartsDuringAnAttempt_GetsItsNameOnly) {
  host_.slowness = milliseconds{40};
  begin({{"mine", "fake", "1"}}, milliseconds{3000});
  for (int round = 0; round < 10; ++round) {
    std::this_thread::sleep_for(milliseconds{7 * round});
    host_.start("1", "a");
    EXPECT_TRUE(come_to_be({"mine"}));
    std::this_thread::sleep_for(milliseconds{100});
    EXPECT_THAT(names(), ElementsAre("mine")) << round;
    host_.end("1");
    EXPECT_TRUE(come_to_be({}));
  }
}

TEST_F(VmFinderTest, AttachedVm_IsNotAttachedAgainByDiscovery) {
  host_.start("1", "a");
  ASSERT_TRUE(attacher_.attach({"mine", "fake", "1"}).has_value());
  begin();
  EXPECT_THAT(names(), ElementsAre("mine"));
  EXPECT_EQ(host_.opened, 1);
}

TEST_F(VmFinderTest, SeveralDrivers_PreferredOneAttaches) {
  host_.start("1", "a");
  better_.start("1", "a");
  begin({}, milliseconds{2000});
  EXPECT_THAT(names(), ElementsAre("a"));
  std::this_thread::sleep_for(milliseconds{2100});
  EXPECT_THAT(names(), ElementsAre("a"));
  EXPECT_EQ(better_.opened, 1);
  EXPECT_EQ(host_.opened, 0);
  EXPECT_THAT(finder_->refused(), IsEmpty());
}

TEST_F(VmFinderTest, ManagedVm_IsReservedForALimitedTime) {
  begin({}, milliseconds{3000});
  host_.start("1", "a", "better");
  std::this_thread::sleep_for(milliseconds{50});
  EXPECT_THAT(names(), IsEmpty());
  better_.start("1", "a");
  EXPECT_TRUE(come_to_be({"a"}));
  EXPECT_EQ(host_.opened, 0);
  host_.start("2", "b", "better"); // a driver that does not find it
  host_.start("3", "c", "nobody"); // a driver that does not exist
  EXPECT_TRUE(come_to_be({"a", "c"}));
  EXPECT_TRUE(come_to_be({"a", "b", "c"}));
}

TEST_F(VmFinderTest, PreferredDriverFails_AnotherAttaches) {
  host_.start("1", "a");
  better_.start("1", "a");
  better_.refuse("1", ErrorKind::source_failed);
  begin();
  EXPECT_TRUE(come_to_be({"a"}));
  EXPECT_TRUE(eventually([&] { return better_.opened >= 2; }));
  EXPECT_EQ(host_.opened, 1);
  better_.allow("1");
  EXPECT_TRUE(eventually([&] { return finder_->refused().empty(); }));
  EXPECT_TRUE(come_to_be({"a"}));
}

TEST_F(VmFinderTest, UnusedVm_MovesToThePreferredDriver) {
  host_.start("1", "a");
  begin();
  const auto by_other = vms_.find("a");
  ASSERT_NE(by_other, nullptr);
  by_other->guest().memory().begin_view();
  better_.start("1", "a");
  EXPECT_TRUE(eventually([&] {
    const auto refused = finder_->refused();
    return !refused.empty() &&
           refused.front().reason.find("until no file of its memory is open") != std::string::npos;
  }));
  std::this_thread::sleep_for(milliseconds{50});
  EXPECT_EQ(better_.opened, 0);
  EXPECT_FALSE(by_other->gone());
  // Paused before the last view ends: a VM that is unused for a moment moves at once.
  ASSERT_TRUE(by_other->run_state().pause().has_value());
  by_other->guest().memory().end_view();
  std::this_thread::sleep_for(milliseconds{50});
  EXPECT_FALSE(by_other->gone()) << "paused by us";
  ASSERT_TRUE(by_other->run_state().resume().has_value());
  // A VM is gone a moment before its name is free.
  EXPECT_TRUE(eventually([&] {
    const auto found = vms_.find("a");
    return found != nullptr && found != by_other;
  }));
  EXPECT_TRUE(by_other->gone());
  EXPECT_EQ(better_.opened, 1);
  EXPECT_TRUE(eventually([&] { return finder_->refused().empty(); }));
}

TEST_F(VmFinderTest, DetachedVm_NoOtherDriverAttaches) {
  host_.start("1", "a");
  begin();
  ASSERT_TRUE(attacher_.detach("a").has_value());
  ASSERT_TRUE(come_to_be({}));
  better_.start("1", "a");
  std::this_thread::sleep_for(milliseconds{100});
  EXPECT_THAT(names(), IsEmpty());
  EXPECT_EQ(better_.opened, 0);
}

TEST_F(VmFinderTest, WantedVm_DoesNotMoveToAnotherDriver) {
  host_.start("1", "a");
  const auto named = attacher_.attach({"mine", "fake", "1"});
  ASSERT_TRUE(named.has_value());
  better_.start("1", "a");
  begin();
  std::this_thread::sleep_for(milliseconds{100});
  EXPECT_THAT(names(), ElementsAre("mine"));
  EXPECT_FALSE((*named)->gone());
}

} // namespace
} // namespace vmemfs
