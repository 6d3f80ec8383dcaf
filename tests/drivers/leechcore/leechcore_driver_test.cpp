// SPDX-License-Identifier: MIT
// What a device of LeechCore gives and what it costs: the traps of its ABI, one test each.
#include "drivers/leechcore/stand_in.h"

#include <algorithm>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sstream>

namespace vmemfs::test {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

constexpr std::size_t kMiB = std::size_t{1} << 20;

class LeechcoreDevice : public testing::Test {
protected:
  std::unique_ptr<Driver> open(const std::string& type, const std::string& script = {},
                               const std::string& more = "timeout=60s") {
    auto driver = open_leechcore(leechcore_params(image_.device(type, script), more), {watcher_, worker_});
    EXPECT_TRUE(driver.has_value()) << driver.error().message();
    return driver ? std::move(*driver) : nullptr;
  }
  Error refusal(const std::string& type, const std::string& script, const std::string& more = "timeout=60s") {
    const auto driver =
        open_leechcore(leechcore_params(image_.device(type, script), more), {watcher_, worker_});
    return driver ? Error{} : driver.error();
  }

  static ReadPiece read(Driver& driver, std::uint64_t at, std::span<std::byte> buffer) {
    ReadPiece piece{Gpa{at}, buffer, 0, std::nullopt};
    driver.read({&piece, 1});
    return piece;
  }
  std::vector<std::string> calls() {
    std::vector<std::string> lines;
    std::istringstream text{read_file(log_)};
    for (std::string line; std::getline(text, line);) {
      lines.push_back(line);
    }
    return lines;
  }
  std::string logged() const { return "log=" + log_; }

  LeechcoreImage image_;
  TempDir dir_;
  const std::string log_ = dir_ / "calls";
  FdWatcher watcher_;
  Worker worker_;
};

TEST_F(LeechcoreDevice, SequentialReadsOfOneMiB_CostOneCallEach) {
  const auto driver = open("fpga", "latency=1000," + logged());
  ASSERT_NE(driver, nullptr);
  std::vector<std::byte> buffer(kMiB);
  for (std::size_t at = kMiB; at < 9 * kMiB; at += kMiB) {
    EXPECT_FALSE(read(*driver, at, buffer).failure);
    EXPECT_EQ(buffer, image_.truth(at, kMiB));
  }
  auto made = calls();
  ASSERT_FALSE(made.empty());
  EXPECT_EQ(made.front(), "read 1") << "the cost of a call, measured once";
  made.erase(made.begin());
  EXPECT_EQ(made, std::vector<std::string>(8, "read 256"));
  EXPECT_GE(driver->read_cost().call, std::chrono::milliseconds{1});
}

TEST_F(LeechcoreDevice, BatchOfMoreThan16MiB_IsCutIntoCalls) {
  const auto driver = open("file", logged());
  ASSERT_NE(driver, nullptr);
  std::vector<std::byte> buffer(20 * kMiB);
  EXPECT_EQ(read(*driver, 4096, buffer).done, buffer.size());
  EXPECT_TRUE(buffer == image_.truth(4096, buffer.size()));
  EXPECT_THAT(calls(), ElementsAre("read 1", "read 4096", "read 1024"));
}

TEST_F(LeechcoreDevice, PiecesInOnePage_AreOneElement) {
  const auto driver = open("fpga", logged());
  ASSERT_NE(driver, nullptr);
  std::vector<std::vector<std::byte>> buffers(5000, std::vector<std::byte>(3));
  std::vector<ReadPiece> pieces;
  for (std::size_t i = 0; i < buffers.size(); ++i) {
    pieces.push_back({Gpa{0x5000 + i % 1000}, buffers[i], 0, std::nullopt});
  }
  driver->read(pieces);
  for (std::size_t i = 0; i < buffers.size(); ++i) {
    ASSERT_EQ(buffers[i], image_.truth(0x5000 + i % 1000, 3)) << i;
  }
  EXPECT_THAT(calls(), ElementsAre("read 1", "read 1", "read 1"));
}

TEST_F(LeechcoreDevice, OddRange_IsReadInWholeAlignedPages) {
  const auto driver = open("fpga");
  ASSERT_NE(driver, nullptr);
  for (const std::size_t size : {std::size_t{1}, std::size_t{5}, std::size_t{4096}, std::size_t{12289}}) {
    std::vector<std::byte> buffer(size);
    EXPECT_FALSE(read(*driver, 0x100ffd, buffer).failure);
    EXPECT_EQ(buffer, image_.truth(0x100ffd, size));
  }
}

TEST_F(LeechcoreDevice, PageThatFails_EndsItsPieceAlone) {
  const auto driver = open("fpga", "bad=0x203000");
  ASSERT_NE(driver, nullptr);
  std::vector<std::byte> first(8 * kPageSize);
  std::vector<std::byte> second(kPageSize);
  std::vector<std::byte> third(kPageSize);
  std::vector<ReadPiece> pieces{{Gpa{0x201800}, first, 0, std::nullopt},
                                {Gpa{0x203000}, second, 0, std::nullopt},
                                {Gpa{0x204000}, third, 0, std::nullopt}};
  driver->read(pieces);
  EXPECT_EQ(pieces[0].done, 0x1800U);
  EXPECT_EQ(pieces[0].failure, ErrorKind::bad_page);
  EXPECT_EQ(std::vector<std::byte>(first.begin(), first.begin() + 0x1800), image_.truth(0x201800, 0x1800));
  EXPECT_EQ(pieces[1].done, 0U);
  EXPECT_EQ(pieces[1].failure, ErrorKind::bad_page);
  EXPECT_FALSE(pieces[2].failure);
  EXPECT_EQ(third, image_.truth(0x204000, kPageSize));
}

TEST_F(LeechcoreDevice, PageThatFailedBefore_IsAskedAgain_AndSuccessIsNotTakenFromTheCallBefore) {
  const auto driver = open("fpga", "bad=0x203000");
  ASSERT_NE(driver, nullptr);
  std::vector<std::byte> buffer(kPageSize);
  for (int round = 0; round < 3; ++round) {
    EXPECT_FALSE(read(*driver, 0x202000, buffer).failure);
    EXPECT_EQ(buffer, image_.truth(0x202000, kPageSize));
    EXPECT_EQ(read(*driver, 0x203000, buffer).failure, ErrorKind::bad_page);
  }
}

TEST_F(LeechcoreDevice, MapOfTheDevice_LeavesOutWhatItLeavesOut) {
  const auto driver = open("fpga", logged());
  ASSERT_NE(driver, nullptr);
  const auto map = driver->memory_map();
  ASSERT_EQ(map->regions().size(), 2U);
  EXPECT_EQ(map->regions()[0].range, (GpaRange{Gpa{0}, Gpa{0xa0000}}));
  EXPECT_EQ(map->regions()[1].range, (GpaRange{Gpa{0x100000}, Gpa{LeechcoreImage::kSize}}));
  std::vector<std::byte> buffer(64);
  EXPECT_EQ(read(*driver, 0xa0000, buffer).failure, ErrorKind::hole);
  EXPECT_THAT(calls(), ElementsAre("read 1")) << "a hole does not reach the device";
}

TEST_F(LeechcoreDevice, WithoutAMap_HasAllUpToItsMaxAddress) {
  const auto driver = open("file", "map=none");
  ASSERT_NE(driver, nullptr);
  ASSERT_EQ(driver->memory_map()->regions().size(), 1U);
  EXPECT_EQ(driver->memory_map()->ram_end(), Gpa{LeechcoreImage::kSize});
}

TEST_F(LeechcoreDevice, UsersMap_IsSetInTheLibrary_AndRemaps) {
  write_file(dir_ / "map", "# low memory\n0 - 9ffff\n100000 - 4fffff -> 800000\n");
  const auto driver = open("fpga", "", "memmap=" + (dir_ / "map"));
  ASSERT_NE(driver, nullptr);
  EXPECT_EQ(driver->memory_map()->ram_end(), Gpa{0x500000});
  std::vector<std::byte> buffer(kPageSize);
  EXPECT_FALSE(read(*driver, 0x123000, buffer).failure);
  EXPECT_EQ(buffer, image_.truth(0x823000, kPageSize));
  EXPECT_THAT(driver->access().map, HasSubstr("memmap="));
}

TEST_F(LeechcoreDevice, UsersMapOf300Ranges_IsTakenWhole) {
  std::string map;
  for (int i = 0; i < 300; ++i) {
    map += fmt::format("{:x} - {:x}\n", i * 0x2000, i * 0x2000 + 0xfff);
  }
  write_file(dir_ / "map", map);
  const auto driver = open("fpga", "", "memmap=" + (dir_ / "map"));
  ASSERT_NE(driver, nullptr);
  EXPECT_EQ(driver->memory_map()->regions().size(), 300U);
  std::vector<std::byte> buffer(kPageSize);
  EXPECT_EQ(read(*driver, 0x1000, buffer).failure, ErrorKind::hole);
  EXPECT_FALSE(read(*driver, 299 * 0x2000, buffer).failure);
}

TEST_F(LeechcoreDevice, UsersMapThatIsWrong_IsRefusedWithItsName) {
  write_file(dir_ / "map", "0 - 9fff0\n");
  EXPECT_THAT(refusal("fpga", "", "memmap=" + (dir_ / "map")).text, HasSubstr("memmap=" + (dir_ / "map")));
  EXPECT_THAT(refusal("fpga", "", "memmap=" + (dir_ / "none")).text, HasSubstr("cannot open the memory map"));
  EXPECT_THAT(refusal("fpga", "", "memmap=" + dir_.path()).text, HasSubstr("not a memory map"));
}

TEST_F(LeechcoreDevice, MapThatMakesNoSense_IsRefused) {
  for (const char* const kind : {"garbage", "binary"}) {
    EXPECT_THAT(refusal("fpga", fmt::format("map={}", kind)).text, HasSubstr("makes no sense")) << kind;
  }
  EXPECT_THAT(refusal("fpga", "map=huge").text, HasSubstr("too many ranges"));
}

TEST_F(LeechcoreDevice, NotVolatile_IsFrozen) {
  EXPECT_TRUE(open("file")->frozen());
  EXPECT_FALSE(open("file", "volatile=1")->frozen());
}

TEST_F(LeechcoreDevice, ReadOnly_HasNoWriter) {
  const auto driver = open("file");
  ASSERT_NE(driver, nullptr);
  EXPECT_EQ(driver->memory_writer(), nullptr);
  EXPECT_FALSE(driver->memory_map()->regions().front().writable);
  EXPECT_THAT(driver->access().writes, HasSubstr("read only"));
}

/// Whole aligned units of 8 bytes reach the device, which takes no others, and nothing around them changes.
TEST_F(LeechcoreDevice, WriteOfAnySize_ChangesTheseBytesOnly) {
  const auto driver = open("fpga");
  ASSERT_NE(driver, nullptr);
  ASSERT_NE(driver->memory_writer(), nullptr);
  std::string expected = read_file(image_.path());
  for (const std::size_t size :
       {std::size_t{1}, std::size_t{8}, std::size_t{13}, std::size_t{4096}, std::size_t{9001}}) {
    for (const std::size_t at : {std::size_t{0x200000}, std::size_t{0x201fff}, std::size_t{0x203ffd}}) {
      const std::vector<std::byte> bytes(size, static_cast<std::byte>(size + at));
      const auto outcome = driver->memory_writer()->write(Gpa{at}, bytes);
      EXPECT_FALSE(outcome.failure) << outcome.failure->text;
      EXPECT_EQ(outcome.done, size);
      std::memcpy(expected.data() + at, bytes.data(), size);
    }
  }
  EXPECT_TRUE(read_file(image_.path()) == expected);
}

TEST_F(LeechcoreDevice, WriteOfAPageThatFails_IsNotReportedAsDone) {
  const auto driver = open("fpga", "bad=0x203000");
  ASSERT_NE(driver, nullptr);
  const std::vector<std::byte> bytes(4 * kPageSize, std::byte{0x5a});
  const auto outcome = driver->memory_writer()->write(Gpa{0x202000}, bytes);
  EXPECT_EQ(outcome.done, kPageSize);
  ASSERT_TRUE(outcome.failure);
  EXPECT_EQ(outcome.failure->kind, ErrorKind::bad_page);
}

TEST_F(LeechcoreDevice, WriteIntoAHole_EndsThere) {
  const auto driver = open("fpga");
  ASSERT_NE(driver, nullptr);
  const std::vector<std::byte> bytes(64, std::byte{0x5a});
  const auto outcome = driver->memory_writer()->write(Gpa{0x9fff0}, bytes);
  EXPECT_EQ(outcome.done, 16U);
  ASSERT_TRUE(outcome.failure);
  EXPECT_EQ(outcome.failure->kind, ErrorKind::hole);
}

TEST_F(LeechcoreDevice, LibraryMayBeNamedByItsDirectory) {
  const std::string library{VMEMFS_LEECHCORE_STAND_IN};
  const auto driver = open_leechcore(
      fmt::format("library={},device=\"{}\"", library.substr(0, library.rfind('/')), image_.device("fpga")),
      {watcher_, worker_});
  EXPECT_TRUE(driver.has_value()) << driver.error().message();
}

TEST_F(LeechcoreDevice, OptionsFollowTheDevice) {
  const auto driver = open_leechcore(
      fmt::format("library={},options=file={};bad=0x5000", VMEMFS_LEECHCORE_STAND_IN, image_.path()),
      {watcher_, worker_});
  ASSERT_TRUE(driver.has_value()) << driver.error().message();
  std::vector<std::byte> buffer(kPageSize);
  EXPECT_EQ(read(**driver, 0x5000, buffer).failure, ErrorKind::bad_page);
  EXPECT_EQ((*driver)->identity().name, "FPGA") << "the default device";
}

TEST_F(LeechcoreDevice, RemoteIsPassedOn_AndNeedsTheNetwork) {
  const auto params = [](const char* text) {
    return Params::parse(text, leechcore_driver_type().params()).value();
  };
  EXPECT_TRUE(leechcore_driver_type().needs(params("device=file:///a,remote=rpc://insecure:alpha")).network);
  EXPECT_TRUE(leechcore_driver_type().needs(params("device=rawudp://ip=192.0.2.1")).network);
  EXPECT_FALSE(leechcore_driver_type().needs(params("device=file:///a")).network);
  EXPECT_FALSE(leechcore_driver_type().needs({}).network);
}

} // namespace
} // namespace vmemfs::test
