// SPDX-License-Identifier: MIT
// Texts that `vmemfs save` reads and writes.
#include "fs/save/guest/guest_info.h"
#include "fs/save/guest/mounted_vm.h"
#include "fs/save/image/sha256.h"
#include "fs/save/progress.h"
#include "fs/save/save_format.h"
#include "fs/save/save_report.h"
#include "fs/save/size_text.h"
#include "util/unique_fd.h"

#include <algorithm>
#include <array>
#include <chrono>
#include <cstddef>
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <unistd.h>

namespace vmemfs::test {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using namespace std::chrono_literals;

TEST(SizeText, Units) {
  EXPECT_EQ(size_text(0), "0 bytes");
  EXPECT_EQ(size_text(1023), "1023 bytes");
  EXPECT_EQ(size_text(1536), "1.5 KiB");
  EXPECT_EQ(size_text(std::uint64_t{3} << 30U), "3.0 GiB");
  EXPECT_EQ(size_text(~std::uint64_t{0}), "16384.0 PiB");
}

TEST(TimeText, Units) {
  EXPECT_EQ(time_text(400ms), "0.4 s");
  EXPECT_EQ(time_text(12s), "12 s");
  EXPECT_EQ(time_text(185s), "3:05 min");
  EXPECT_EQ(time_text(2h + 10min), "2:10:00 h");
}

TEST(ProgressText, Figures) {
  constexpr std::uint64_t kMiB = 1 << 20;
  EXPECT_EQ(progress_text({0, 0, 0, 1s}), "preparing");
  EXPECT_EQ(progress_text({400 * kMiB, 100 * kMiB, 60 * kMiB, 2s}),
            "25%  100.0 MiB of 400.0 MiB, 60.0 MiB read, 50.0 MiB/s, 6.0 s left");
  EXPECT_EQ(progress_text({4 * kMiB, 4 * kMiB, 4 * kMiB, 0s}).substr(0, 5), "100% ");
}

TEST(ProgressLines, PipeThatNobodyReads_IsNotWaitedFor) {
  std::array<int, 2> ends{};
  ASSERT_EQ(::pipe2(ends.data(), O_CLOEXEC), 0);
  const UniqueFd out{ends[0]};
  const UniqueFd in{ends[1]};
  constexpr std::size_t kMoreThanAPipe = 1000;
  const std::string line(4096, 'x');
  for (std::size_t i = 0; i < kMoreThanAPipe; ++i) {
    write_unless_it_waits(in.get(), line);
  }
  std::string got(line.size(), '\0');
  EXPECT_EQ(::read(out.get(), got.data(), got.size()), static_cast<ssize_t>(line.size()));
  EXPECT_EQ(got, line);
}

TEST(SaveFormats, Names) {
  EXPECT_EQ(parse_save_format("raw").value(), SaveFormat::raw);
  EXPECT_EQ(info_of(parse_save_format("lime").value()).file, "mem.lime");
  EXPECT_EQ(info_of(parse_save_format("elf").value()).file, "core");
  EXPECT_EQ(info_of(parse_save_format("avml").value()).file, "mem.lime");
  EXPECT_EQ(info_of(parse_save_format("kdump").value()).file, "core");
  EXPECT_THAT(parse_save_format("zip").error().text,
              HasSubstr("there is no format 'zip'; use one of raw, lime, elf, avml, kdump"));
  EXPECT_THAT(parse_save_format("x\x1b[m").error().text, HasSubstr(R"('x\x1b[m'; use one of)"));
}

TEST(GuestInfos, OfTheFile) {
  const auto info = parse_guest_info(
      R"({"name":"web01","uuid":"u","driver":"qemu","state":"running","epoch":7,"bad_page_reads":3,"bad_pages":["0x1000"]})");
  ASSERT_TRUE(info);
  EXPECT_EQ(info->name, "web01");
  EXPECT_EQ(info->epoch, 7U);
  EXPECT_TRUE(info->is_running());
  EXPECT_EQ(info->refused_reads, 3U);
  EXPECT_THAT(info->refused_pages, ElementsAre("0x1000"));
}

TEST(GuestInfos, WrongTypes_AreNotFatal) {
  EXPECT_FALSE(parse_guest_info(""));
  EXPECT_FALSE(parse_guest_info("[1]"));
  EXPECT_FALSE(parse_guest_info(R"({"state":7})"));
  const auto info = parse_guest_info(R"({"state":"paused","epoch":"x","bad_pages":[1,{}],"name":null})");
  ASSERT_TRUE(info);
  EXPECT_EQ(info->epoch, 0U);
  EXPECT_TRUE(info->refused_pages.empty());
}

TEST(Mountpoints, OfMountinfo) {
  EXPECT_THAT(
      vmemfs_mountpoints("22 1 0:20 / /sys rw - sysfs sysfs rw\n"
                         "90 1 0:51 / /mnt/vms rw,nosuid - fuse.vmemfs vmemfs rw,user_id=0,group_id=0\n"
                         "91 1 0:52 / /mnt/a\\040b\\134c\\0 rw shared:1 - fuse.vmemfs none rw,user_id=1000\n"
                         "92 1 0:53 / /mnt/other rw - fuse.sshfs x rw,user_id=0\n"
                         "fuse.vmemfs - fuse.vmemfs \n",
                         1000),
      ElementsAre("/mnt/vms", "/mnt/a b\\c\\0"));
}

TEST(Mountpoints, OfSomebodyElse_AreNotUsed) {
  constexpr std::string_view kMounts =
      "90 1 0:51 / /mnt/root rw - fuse.vmemfs vmemfs rw,user_id=0,group_id=0,allow_other\n"
      "91 1 0:52 / /mnt/mine rw - fuse.vmemfs vmemfs rw,user_id=1000,group_id=1000\n"
      "92 1 0:53 / /mnt/evil rw - fuse.vmemfs user_id=0,user_id=1000 rw,user_id=1001,group_id=0,allow_other\n"
      "93 1 0:54 / /mnt/none rw - fuse.vmemfs vmemfs rw\n"
      "94 1 0:55 / /mnt/odd rw - fuse.vmemfs vmemfs rw,user_id=x\n";
  EXPECT_THAT(vmemfs_mountpoints(kMounts, 1000), ElementsAre("/mnt/root", "/mnt/mine"));
  EXPECT_THAT(vmemfs_mountpoints(kMounts, 0), ElementsAre("/mnt/root"));
}

/// The examples of FIPS 180-2.
TEST(Sha256Test, KnownSums) {
  auto hash = Sha256::create();
  ASSERT_TRUE(hash);
  ASSERT_TRUE(hash->add(std::as_bytes(std::span{std::string_view{"ab"}})));
  ASSERT_TRUE(hash->add(std::as_bytes(std::span{std::string_view{"c"}})));
  EXPECT_EQ(hash->finish().value(), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  EXPECT_EQ(Sha256::create()->finish().value(),
            "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
}

SaveReport report() {
  SaveReport report;
  report.file = "/x/web01.raw";
  report.format = "raw";
  report.mode = SaveMode::paused;
  report.pause = 12ms;
  report.before = {.name = "we\xff\"b", .state = "running", .refused_reads = 2};
  report.epoch_begin = 5;
  report.at_end = GuestInfo{.state = "paused", .epoch = 5, .refused_reads = 2, .refused_pages = {"0x1000"}};
  report.state_after = "running";
  report.maps = "0000000000001000-0000000000002000 rw- ram pc.ram+0x1000\n"
                "00000000fffc0000-0000000100000000 r-- rom a block+b+0x0\n";
  return report;
}

TEST(Sidecar, Fields) {
  const auto json = nlohmann::json::parse(sidecar_text(report()));
  EXPECT_EQ(json["format_version"], 1);
  EXPECT_EQ(json["image"]["file"], "web01.raw");
  EXPECT_EQ(json["image"]["complete"], true);
  EXPECT_EQ(json["mode"], "paused");
  EXPECT_EQ(json["pause_ms"], 12);
  EXPECT_EQ(json["guest"]["changed"], false);
  EXPECT_EQ(json["started"], "1970-01-01T00:00:00.000Z");
  ASSERT_EQ(json["ranges"].size(), 2U);
  EXPECT_EQ(json["ranges"][0]["begin"], "0x1000");
  EXPECT_EQ(json["ranges"][0]["end"], "0x2000");
  EXPECT_EQ(json["ranges"][0]["writable"], true);
  EXPECT_EQ(json["ranges"][1]["kind"], "rom");
  EXPECT_EQ(json["ranges"][1]["block"], "a block+b");
  EXPECT_EQ(json["ranges"][1]["offset"], "0x0");
  EXPECT_TRUE(json["unreadable"]["refused_pages"].empty()) << "refused before";
}

TEST(Sidecar, NotWhole) {
  SaveReport changed = report();
  changed.at_end->epoch = 6;
  EXPECT_FALSE(changed.is_whole());
  changed.mode = SaveMode::live;
  EXPECT_TRUE(changed.guest_changed());
  EXPECT_TRUE(changed.is_whole()) << "nobody expects one moment";

  SaveReport refused = report();
  refused.at_end->refused_reads = 4;
  EXPECT_FALSE(refused.is_whole());
  EXPECT_EQ(nlohmann::json::parse(sidecar_text(refused))["unreadable"]["refused_page_reads"], 2);

  SaveReport unreadable = report();
  unreadable.unreadable = {{4096, 8192}};
  unreadable.unreadable_bytes = 4096;
  EXPECT_FALSE(unreadable.is_whole());
  EXPECT_EQ(nlohmann::json::parse(sidecar_text(unreadable))["unreadable"]["ranges"][0]["end"], 8192);
  for (const bool packed : {false, true}) {
    unreadable.packed = packed;
    EXPECT_EQ(nlohmann::json::parse(sidecar_text(unreadable))["unreadable"]["ranges_are"],
              packed ? "guest_addresses" : "image_offsets");
  }

  SaveReport ended = report();
  ended.at_end.reset();
  EXPECT_FALSE(ended.is_whole());
  EXPECT_TRUE(nlohmann::json::parse(sidecar_text(ended))["guest"]["epoch_end"].is_null());
}

TEST(Sidecar, TooManyRanges_AreCounted) {
  SaveReport hostile = report();
  hostile.maps = std::string(std::size_t{4} << 20U, '\n');
  for (int i = 0; i < 65536 + 7; ++i) {
    hostile.maps += "1-2 r\n";
  }
  const auto json = nlohmann::json::parse(sidecar_text(hostile));
  EXPECT_EQ(json["ranges"].size(), 65536U);
  EXPECT_EQ(json["ranges_not_listed"], 7);
}

TEST(Sidecar, Text_IsAscii) {
  SaveReport hostile = report();
  hostile.before.name = "\xc2\x9b[2J";
  EXPECT_TRUE(std::ranges::all_of(sidecar_text(hostile), [](char c) { return c >= 0; }));
}

TEST(GuestInfos, DeeplyNested_IsRefused) {
  const auto nested = [](std::size_t depth) {
    return R"({"state":"paused","x":)" + std::string(depth, '[') + std::string(depth, ']') + "}";
  };
  EXPECT_TRUE(parse_guest_info(nested(60)));
  EXPECT_FALSE(parse_guest_info(nested(100)));
  EXPECT_FALSE(parse_guest_info(nested(kMaxGuestInfo / 2)));
}

TEST(Sidecar, MalformedMaps_AreNotFatal) {
  SaveReport odd = report();
  odd.maps = "\n \nx\n-\nzz-yy\n1-2 rw-";
  EXPECT_EQ(nlohmann::json::parse(sidecar_text(odd))["ranges"].size(), 5U);
}

} // namespace
} // namespace vmemfs::test
