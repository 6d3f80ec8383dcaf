// SPDX-License-Identifier: MIT
#include "fs/files/text/info_text.h"
#include "tests/fs/files/changed_driver.h"
#include "vm_fixture.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

namespace vmemfs::test {
namespace {

using Json = nlohmann::ordered_json;
using testing::ElementsAre;
using testing::HasSubstr;

constexpr std::uint64_t kMiB = std::uint64_t{1} << 20U;

std::vector<std::string> keys_of(const Json& object) {
  std::vector<std::string> keys;
  for (const auto& [key, value] : object.items()) {
    keys.push_back(key);
  }
  return keys;
}

Json info_of(Vm& vm) {
  const std::string text = info_text(vm);
  EXPECT_TRUE(text.ends_with("}\n"));
  return Json::parse(text);
}

TEST(InfoText, RunningVm_HasEveryKey) {
  VmFixture fixture{{.name = "web01",
                     .size = 16 * kMiB,
                     .vcpus = 3,
                     .holes = {{Gpa{4 * kMiB}, Gpa{6 * kMiB}}},
                     .roms = {{Gpa{15 * kMiB}, Gpa{16 * kMiB}}},
                     .bad = {}}};
  const Json info = info_of(*fixture.vm);
  EXPECT_THAT(keys_of(info), ElementsAre("name", "uuid", "driver", "state", "epoch", "vcpus", "vcpu_list",
                                         "memory", "access", "ram_files", "probe", "cache", "writable",
                                         "bad_pages", "bad_page_reads"));
  EXPECT_EQ(info["name"], "web01");
  EXPECT_EQ(info["uuid"], "00000000-0000-4000-8000-00000000fa4e");
  EXPECT_EQ(info["driver"], "fake");
  EXPECT_EQ(info["state"], "running");
  EXPECT_EQ(info["epoch"], fixture.vm->cache().epoch());
  EXPECT_EQ(info["vcpus"], 3);
  EXPECT_EQ(info["vcpu_list"], "0-2");
  // RAM is [0, 4M) and [6M, 15M); the last MiB is a ROM.
  EXPECT_EQ(info["memory"], (Json{{"size", 15 * kMiB}, {"ram", 13 * kMiB}, {"regions", 3}}));
  EXPECT_THAT(keys_of(info["access"]), ElementsAre("map", "ram", "registers", "run_control", "writes"));
  EXPECT_EQ(info["probe"], Json::array());
  EXPECT_EQ(info["writable"], false);
  EXPECT_EQ(info["bad_pages"], Json::array());
  EXPECT_EQ(info["bad_page_reads"], 0);
}

TEST(InfoText, Cache_ShowsSettingsAndCounts) {
  VmFixture fixture;
  EXPECT_EQ(info_of(*fixture.vm)["cache"]["policy"], "auto");
  ASSERT_TRUE(fixture.vm->cache().change([](CacheSettings& settings) {
    settings = {.mode = CacheMode::on, .ttl = std::chrono::milliseconds{250}, .size = kMiB};
  }));
  ASSERT_TRUE(fixture.vm->run_state().pause());
  ASSERT_EQ(fixture.read(0, 2 * kPageSize).size(), 2 * kPageSize);
  ASSERT_EQ(fixture.read(0, kPageSize).size(), kPageSize);
  const Json cache = info_of(*fixture.vm)["cache"];
  EXPECT_EQ(cache, (Json{{"policy", "on"},
                         {"in_use", true},
                         {"kernel", "auto"},
                         {"kernel_in_use", true},
                         {"kernel_not_in_use_because", nullptr},
                         {"ttl_ms", 250},
                         {"used", 2 * kPageSize},
                         {"limit", kMiB},
                         {"hits", 1},
                         {"misses", 2},
                         {"merged", 0},
                         {"read_ahead", 0},
                         {"evictions", 0},
                         {"state_delay_ms", 0}}));
}

TEST(InfoText, KernelCacheNotInUse_HasTheReason) {
  VmFixture fixture;
  const auto cache = [&] { return info_of(*fixture.vm)["cache"]; };
  EXPECT_EQ(cache()["kernel_in_use"], false);
  EXPECT_THAT(cache()["kernel_not_in_use_because"].get<std::string>(), HasSubstr("echo pause > control"));
  ASSERT_TRUE(fixture.vm->cache().change([](CacheSettings& settings) { settings.kernel = CacheMode::off; }));
  EXPECT_THAT(cache()["kernel_not_in_use_because"].get<std::string>(), HasSubstr("kernel=off"));
}

TEST(InfoText, CacheWithoutRoom_HasTheReason) {
  VmFixture fixture;
  const auto cache = [&] { return info_of(*fixture.vm)["cache"]; };
  ASSERT_TRUE(fixture.vm->cache().change([](CacheSettings& settings) {
    settings.mode = CacheMode::on;
    settings.size = 0;
  }));
  EXPECT_EQ(cache()["in_use"], false);
  EXPECT_THAT(cache()["not_in_use_because"].get<std::string>(), HasSubstr("cache size=share"));
  EXPECT_EQ(cache()["state_delay_ms"], 0) << "that is not why";
  PageCache others{0};
  CacheBudget::Share other{fixture.budget, others};
  ASSERT_TRUE(other.set_fixed_size(fixture.budget.total_bytes()));
  other.set_active(true);
  ASSERT_TRUE(fixture.vm->cache().change([](CacheSettings& settings) { settings.size.reset(); }));
  EXPECT_THAT(cache()["not_in_use_because"].get<std::string>(), HasSubstr("other VMs"));
  ASSERT_TRUE(other.set_fixed_size(std::nullopt));
  EXPECT_EQ(cache()["in_use"], true);
  EXPECT_FALSE(cache().contains("not_in_use_because"));
}

/// Null without a reason is memory that cannot change.
TEST(InfoText, NoStateDelay_HasTheReasonUnlessMemoryCannotChange) {
  const auto cache_of = [](DriverChanges changes) {
    const VmFixture fixture{{}, {}, {}, changed(std::move(changes))};
    EXPECT_TRUE(fixture.vm->cache().change([](CacheSettings& settings) { settings.mode = CacheMode::on; }));
    return info_of(*fixture.vm)["cache"];
  };
  const Json unpausable = cache_of({.no_run_control = true, .no_state_delay = true});
  EXPECT_EQ(unpausable["state_delay_ms"], nullptr);
  EXPECT_EQ(unpausable["in_use"], false);
  EXPECT_THAT(unpausable["not_in_use_because"].get<std::string>(), HasSubstr("the guest cannot be paused: "));
  const Json frozen = cache_of({.no_run_control = true, .no_state_delay = true, .frozen = true});
  EXPECT_EQ(frozen["state_delay_ms"], nullptr);
  EXPECT_EQ(frozen["in_use"], true);
  EXPECT_FALSE(frozen.contains("not_in_use_because"));
}

TEST(InfoText, RefusedPages_AreListedAndCounted) {
  VmFixture fixture{{.holes = {}, .roms = {}, .bad = {{Gpa{3 * kPageSize}, Gpa{4 * kPageSize}}}}};
  ASSERT_EQ(fixture.read(2 * kPageSize, 3 * kPageSize, HolePolicy::padded).size(), 3 * kPageSize);
  const Json info = info_of(*fixture.vm);
  EXPECT_EQ(info["bad_pages"], (Json{"0x3000"}));
  EXPECT_EQ(info["bad_page_reads"], 1);
}

TEST(InfoText, HostileName_IsValidJson) {
  VmFixture fixture{{}, {}, {}, changed({.identity = VmIdentity{kHostileName, kHostileName, "fake"}})};
  const Json info = info_of(*fixture.vm);
  const std::string replaced = "web\n\x1b[2J\"01\"\\\t\xef\xbf\xbd\xef\xbf\xbd("; // U+FFFD
  EXPECT_EQ(info["name"], replaced);
  EXPECT_EQ(info["uuid"], replaced);
  EXPECT_EQ(info["driver"], "fake");
}

TEST(InfoText, Probe_ListsEachAttempt) {
  VmFixture fixture{
      {},
      {},
      {},
      changed({.probe = {{"monitor", true, "/run/web01.qmp"}, {"flat view", false, "no\n\"such\"\xff"}}})};
  EXPECT_EQ(info_of(*fixture.vm)["probe"],
            (Json{{{"what", "monitor"}, {"ok", true}, {"detail", "/run/web01.qmp"}},
                  {{"what", "flat view"}, {"ok", false}, {"detail", "no\n\"such\"\xef\xbf\xbd"}}}));
}

TEST(InfoText, EndedVm_IsGoneAndKeepsTheRest) {
  VmFixture fixture{{.name = "web01", .holes = {}, .roms = {}, .bad = {}}};
  fixture.fake->die();
  const Json info = info_of(*fixture.vm);
  EXPECT_EQ(info["state"], "gone");
  EXPECT_EQ(info["name"], "web01");
}

TEST(InfoText, VmWithoutRunControl_StateIsUnknown) {
  VmFixture fixture{{}, {}, {}, changed({.no_run_control = true, .no_writers = true, .no_registers = true})};
  const Json info = info_of(*fixture.vm);
  EXPECT_EQ(info["state"], "unknown");
  EXPECT_EQ(info["vcpus"], 1);
}

} // namespace
} // namespace vmemfs::test
