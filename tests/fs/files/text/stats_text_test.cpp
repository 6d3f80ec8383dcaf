// SPDX-License-Identifier: MIT
#include "drivers/fake/fake_driver.h"
#include "fs/files/control/control_file.h"
#include "fs/files/memory_file.h"
#include "fs/files/text/stats_text.h"
#include "support/recording_reply.h"
#include "tests/fs/files/changed_driver.h"
#include "tests/fs/files/text/prometheus_samples.h"
#include "util/worker.h"
#include "vm/cache/cache_budget.h"

#include <algorithm>
#include <chrono>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <limits>
#include <map>
#include <string>

namespace vmemfs::test {
namespace {

using Labels = std::map<std::string, std::string>;

constexpr std::uint64_t kMiB = std::uint64_t{1} << 20U;

class StatsTextTest : public testing::Test {
protected:
  ~StatsTextTest() override {
    feed_->end();
    jobs_.stop();
    notifier_.stop();
  }

  std::shared_ptr<Vm> add(const std::string& name, FakeOptions options = {}, DriverChanges changes = {}) {
    auto driver = FakeDriver::create(std::move(options)).value();
    last_ = driver.get();
    return vms_.add(name, changed(std::move(changes))(std::move(driver))).value();
  }
  [[nodiscard]] PrometheusPage stats() const { return parse_prometheus(stats_text(vms_, events_, *feed_)); }

  Worker notifier_;
  Worker jobs_;
  Worker prefetch_;
  CacheBudget budget_{kMiB};
  EventLog events_;
  std::shared_ptr<EventFeed> feed_ = EventFeed::create(events_);
  VmRegistry vms_{{.notifier = notifier_,
                   .jobs = jobs_,
                   .prefetch_jobs = prefetch_,
                   .slow_prefetch_jobs = prefetch_,
                   .cache_budget = budget_,
                   .events = &events_}};
  FakeDriver* last_ = nullptr;
};

TEST_F(StatsTextTest, NoVm_FamiliesAreThereWithoutSamples) {
  const PrometheusPage page = stats();
  EXPECT_EQ(page.value("vmemfs_build_info", {{"version", VMEMFS_VERSION}}), 1);
  EXPECT_EQ(page.value("vmemfs_vms"), 0);
  ASSERT_NE(page.family("vmemfs_reads_total"), nullptr);
  EXPECT_TRUE(page.family("vmemfs_reads_total")->samples.empty());
  for (const PrometheusFamily& family : page.families) {
    EXPECT_FALSE(family.help.empty()) << family.name;
    EXPECT_EQ(family.name.ends_with("_total"), family.type == "counter") << family.name;
  }
}

TEST_F(StatsTextTest, TwoVms_EachHasOneSampleInEachFamily) {
  const Labels one{{"vm", "one"}, {"driver", "fake"}};
  const Labels two{{"vm", "two"}, {"driver", "fake"}};
  add("one", {.size = 4 * kMiB, .holes = {{Gpa{kMiB}, Gpa{2 * kMiB}}}, .roms = {}, .bad = {}});
  add("two", {.size = kMiB, .holes = {}, .roms = {}, .bad = {}});
  const PrometheusPage page = stats();
  EXPECT_EQ(page.value("vmemfs_vms"), 2);
  EXPECT_EQ(page.value("vmemfs_vm_memory_bytes", one), 3 * kMiB);
  EXPECT_EQ(page.value("vmemfs_vm_memory_bytes", two), kMiB);
  std::size_t families = 0;
  for (const PrometheusFamily& family : page.families) {
    const bool of_vms = !family.samples.empty() && family.samples.front().labels.contains("vm");
    if (of_vms && family.type != "histogram") {
      ++families;
      ASSERT_EQ(family.samples.size(), 2U) << family.name;
      EXPECT_EQ(family.samples[0].labels, one);
      EXPECT_EQ(family.samples[1].labels, two);
    }
  }
  EXPECT_GT(families, 15U);
}

TEST_F(StatsTextTest, Operations_AreCounted) {
  const Labels labels{{"vm", "one"}, {"driver", "fake"}};
  const auto vm = add("one", {.size = kMiB, .holes = {{Gpa{kMiB / 2}, Gpa{kMiB}}}, .roms = {}, .bad = {}});
  MemoryFile memory{guest_of(vm), HolePolicy::honest};
  ASSERT_EQ(read_file(memory, 0, 8192)->bytes().size(), 8192U);
  ASSERT_EQ(read_file(memory, kPageSize, 100)->bytes().size(), 100U);
  EXPECT_EQ(memory.write("x", 0).error().kind, ErrorKind::read_only);
  ControlFile control{vm};
  ASSERT_TRUE(control.write("write on\npause\n", 0));
  ASSERT_TRUE(memory.write("hello", 0));
  constexpr VcpuId kNoSuchVcpu{9};
  ASSERT_FALSE(vm->guest().read_registers({&kNoSuchVcpu, 1}));
  const PrometheusPage page = stats();
  const auto value = [&](std::string_view name) { return page.value(name, labels); };
  EXPECT_EQ(value("vmemfs_reads_total"), 2);
  EXPECT_EQ(value("vmemfs_read_failures_total"), 0);
  EXPECT_EQ(value("vmemfs_read_bytes_total"), 8292);
  EXPECT_EQ(value("vmemfs_writes_total"), 2);
  EXPECT_EQ(value("vmemfs_write_failures_total"), 1);
  EXPECT_EQ(value("vmemfs_written_bytes_total"), 5);
  EXPECT_EQ(value("vmemfs_control_commands_total"), 2);
  EXPECT_EQ(value("vmemfs_control_command_failures_total"), 0);
  EXPECT_EQ(value("vmemfs_register_reads_total"), 1);
  EXPECT_EQ(value("vmemfs_register_read_failures_total"), 1);
  EXPECT_EQ(value("vmemfs_vm_paused"), 1);
  EXPECT_EQ(value("vmemfs_vm_writable"), 1);
  EXPECT_EQ(value("vmemfs_vm_kernel_cache_in_use"), 0);
  ASSERT_TRUE(control.write("write off\n", 0));
  EXPECT_EQ(stats().value("vmemfs_vm_kernel_cache_in_use", labels), 1);
}

TEST_F(StatsTextTest, ReadDurations_AreAHistogram) {
  const auto vm = add("one");
  DurationHistogram& durations = vm->guest().counters().read_duration;
  durations.note(std::chrono::nanoseconds{900});
  durations.note(std::chrono::microseconds{4});
  durations.note(std::chrono::seconds{10});
  const PrometheusPage page = stats();
  const PrometheusFamily* const family = page.family("vmemfs_read_duration_seconds");
  ASSERT_NE(family, nullptr);
  double last_bound = 0;
  double last_count = 0;
  std::map<double, double> counts;
  for (const PrometheusSample& sample : family->samples) {
    if (sample.name.ends_with("_bucket")) {
      const std::string& le = sample.labels.at("le");
      const double bound = le == "+Inf" ? std::numeric_limits<double>::infinity() : std::stod(le);
      EXPECT_GT(bound, last_bound);
      EXPECT_GE(sample.value, last_count) << "buckets are cumulative";
      last_bound = bound;
      last_count = sample.value;
      counts[bound] = sample.value;
    }
  }
  EXPECT_EQ(counts[1e-6], 1);
  EXPECT_EQ(counts[4e-6], 2) << "a bound belongs to its bucket";
  EXPECT_EQ(counts[4.194304], 2);
  EXPECT_EQ(counts[std::numeric_limits<double>::infinity()], 3);
  const Labels labels{{"vm", "one"}, {"driver", "fake"}};
  EXPECT_EQ(page.value("vmemfs_read_duration_seconds_count", labels), 3);
  EXPECT_NEAR(page.value("vmemfs_read_duration_seconds_sum", labels).value_or(0), 10.0000049, 1e-9);
}

TEST_F(StatsTextTest, HostileVmName_ReadsBack) {
  const std::string name = "web\"01\"\\} 5 \xff";
  add(name);
  EXPECT_EQ(stats().value("vmemfs_vm_paused", {{"vm", "web\"01\"\\} 5 \xef\xbf\xbd"}, {"driver", "fake"}}),
            0);
}

TEST_F(StatsTextTest, EndedVm_HasNoSamples) {
  add("one");
  last_->die();
  static_cast<void>(stats()); // the registry may still list it
  // It is counted a moment after it has left the list.
  EXPECT_TRUE(eventually([&] { return stats().value("vmemfs_events_total", {{"event", "removed"}}) == 1; }));
  const PrometheusPage page = stats();
  EXPECT_EQ(page.value("vmemfs_vms"), 0);
  EXPECT_EQ(page.value("vmemfs_events_total", {{"event", "added"}}), 1);
}

TEST_F(StatsTextTest, VmWithoutRegisters_FailuresAreCounted) {
  const auto vm = add("one", {}, {.no_run_control = true, .no_writers = true, .no_registers = true});
  constexpr VcpuId kFirst{0};
  ASSERT_EQ(vm->guest().read_registers({&kFirst, 1}).error().kind, ErrorKind::unsupported);
  const Labels labels{{"vm", "one"}, {"driver", "fake"}};
  EXPECT_EQ(stats().value("vmemfs_register_read_failures_total", labels), 1);
  EXPECT_EQ(stats().value("vmemfs_vm_paused", labels), 0);
}

TEST_F(StatsTextTest, EventsAndReaders_AreCounted) {
  const EventFeed::Reader reader = feed_->open();
  events_.append(EventKind::error, "one", "x");
  events_.append(EventKind::error, "two", "x");
  const PrometheusPage page = stats();
  EXPECT_EQ(page.value("vmemfs_events_total", {{"event", "error"}}), 2);
  EXPECT_EQ(page.value("vmemfs_event_readers"), 1);
  EXPECT_EQ(page.value("vmemfs_events_missed_total"), 0);
  feed_->close(reader);
}

TEST_F(StatsTextTest, Process_IsThisOne) {
  const PrometheusPage page = stats();
  const double now =
      std::chrono::duration<double>{std::chrono::system_clock::now().time_since_epoch()}.count();
  EXPECT_GT(page.value("process_start_time_seconds").value_or(0), now - 3600);
  EXPECT_LT(page.value("process_start_time_seconds").value_or(0), now + 1);
  EXPECT_GE(page.value("process_cpu_seconds_total").value_or(-1), 0);
  EXPECT_GT(page.value("process_resident_memory_bytes").value_or(0), kMiB);
  EXPECT_GE(page.value("process_open_fds").value_or(0), 3);
  EXPECT_GE(page.value("process_threads").value_or(0), 3) << "the workers";
}

} // namespace
} // namespace vmemfs::test
