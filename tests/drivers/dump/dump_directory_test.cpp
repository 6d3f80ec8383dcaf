// SPDX-License-Identifier: MIT
// The discovery of dumps in a directory, against a directory that the test changes.
#include "drivers/dump/directory/dump_directory.h"
#include "drivers/dump/dump_driver.h"
#include "image/image_bytes.h"
#include "support/event_counts.h"
#include "support/files.h"

#include <algorithm>
#include <array>
#include <chrono>
#include <cstdio>
#include <fcntl.h>
#include <filesystem>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

namespace vmemfs::test {
namespace {

namespace fs = std::filesystem;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::UnorderedElementsAre;
using Names = std::vector<std::string>;

std::string lime(char fill) { return lime_range({0x1000, std::string(4096, fill)}); }

class DumpDirectoryTest : public testing::Test {
protected:
  /// From here on the kernel reports changes.
  void SetUp() override { EXPECT_THAT(names(), IsEmpty()); }

  Names names() {
    Names found;
    for (const FoundVm& vm : scan()) {
      found.push_back(vm.name);
    }
    return found;
  }
  std::vector<FoundVm> scan() {
    auto found = directory_.scan();
    EXPECT_TRUE(found) << found.error().message();
    return found ? *found : std::vector<FoundVm>{};
  }
  bool eventually_shows(const Names& expected) {
    return eventually([&] {
      Names now = names();
      std::ranges::sort(now);
      return now == expected;
    });
  }
  /// Moved to its place, which says that it is whole.
  void put(const std::string& name, const std::string& content) {
    write_file(other_ / name, content);
    fs::rename(other_ / name, dir_ / name);
  }
  Result<std::unique_ptr<DumpDriver>> open(const std::string& name) {
    const std::string path = dir_ / name;
    return DumpDriver::open(path, "known", files_->find(path));
  }

  TempDir dir_;
  TempDir other_;
  std::shared_ptr<WatchedFiles> files_ = std::make_shared<WatchedFiles>();
  DumpDirectory directory_{dir_.path(), "known", files_};
};

TEST_F(DumpDirectoryTest, Files_EachIsAVmNamedAsTheFile) {
  put("b.lime", lime('b'));
  put("a.lime", lime('a'));
  EXPECT_THAT(names(), UnorderedElementsAre("a.lime", "b.lime"));
  const auto found = scan();
  EXPECT_EQ(found[0].params, "path=" + dir_ / found[0].name + ",format=known");
  EXPECT_EQ(found[0].owner, ::getuid());
  EXPECT_NE(found[0].key, found[1].key);
}

TEST_F(DumpDirectoryTest, HiddenFilesLinksFifosDirectories_AreLeftOut) {
  put("a", lime('a'));
  put(".hidden", lime('h'));
  fs::create_symlink(dir_ / "a", dir_ / "link");
  fs::create_directory(dir_ / "sub");
  ASSERT_EQ(::mkfifo((dir_ / "fifo").c_str(), 0600), 0);
  EXPECT_THAT(names(), ElementsAre("a"));
}

/// Old enough that nobody may still write it.
TEST_F(DumpDirectoryTest, OldFileAtTheStart_IsShownAtOnce) {
  write_file(dir_ / "old", lime('o'));
  const std::array<timespec, 2> times{{{1000, 0}, {1000, 0}}};
  ASSERT_EQ(::utimensat(AT_FDCWD, (dir_ / "old").c_str(), times.data(), 0), 0);
  DumpDirectory directory{dir_.path(), "known", files_};
  const auto found = directory.scan();
  ASSERT_TRUE(found);
  ASSERT_EQ(found->size(), 1U);
  EXPECT_EQ(found->at(0).name, "old");
}

TEST_F(DumpDirectoryTest, FileThatIsWritten_AppearsWhenItIsClosed) {
  std::FILE* const file = std::fopen((dir_ / "new").c_str(), "w");
  ASSERT_NE(file, nullptr);
  const std::string content = lime('n');
  ASSERT_EQ(std::fwrite(content.data(), 1, content.size(), file), content.size());
  ASSERT_EQ(std::fclose(file), 0);
  EXPECT_THAT(names(), ElementsAre("new"));
}

TEST_F(DumpDirectoryTest, FileThatStaysOpen_AppearsWhenItDoesNotChange) {
  std::FILE* const file = std::fopen((dir_ / "open").c_str(), "w");
  ASSERT_NE(file, nullptr);
  ASSERT_EQ(std::fputs("x", file), 1);
  ASSERT_EQ(std::fflush(file), 0);
  EXPECT_TRUE(eventually_shows({"open"}));
  std::fclose(file);
}

TEST_F(DumpDirectoryTest, RemovedFile_LeavesAndItsDriverIsGone) {
  put("a", lime('a'));
  put("b", lime('b'));
  ASSERT_EQ(names().size(), 2U);
  const auto driver = open("a");
  const auto stays = open("b");
  ASSERT_TRUE(driver && stays);
  test::EventCounts listener;
  (*driver)->set_listener(&listener);
  fs::remove(dir_ / "a");
  EXPECT_FALSE((*driver)->gone());
  EXPECT_THAT(names(), ElementsAre("b"));
  EXPECT_TRUE((*driver)->gone());
  EXPECT_TRUE(listener.has(VmEvent::gone));
  EXPECT_FALSE((*stays)->gone());
  std::array<std::byte, 16> buffer{};
  ReadPiece piece{Gpa{0x1000}, buffer, 0, {}};
  (*driver)->read({&piece, 1});
  EXPECT_EQ(piece.failure, ErrorKind::vm_gone);
  EXPECT_EQ(files_->find(dir_ / "a"), nullptr);
}

TEST_F(DumpDirectoryTest, ReplacedFile_IsAnotherVm) {
  put("a", lime('1'));
  const auto before = scan();
  const auto driver = open("a");
  ASSERT_TRUE(driver) << driver.error().message();
  EXPECT_EQ((*driver)->identity().key, before.at(0).key);
  put("a", lime('2'));
  const auto after = scan();
  ASSERT_EQ(after.size(), 1U);
  EXPECT_NE(after[0].key, before[0].key);
  EXPECT_TRUE((*driver)->gone());
}

TEST_F(DumpDirectoryTest, FileReplacedBySymlink_IsNotOpened) {
  put("a", lime('a'));
  ASSERT_EQ(names().size(), 1U);
  write_file(other_ / "secret", lime('s'));
  fs::remove(dir_ / "a");
  fs::create_symlink(other_ / "secret", dir_ / "a");
  const auto driver = open("a");
  ASSERT_FALSE(driver);
  EXPECT_THAT(driver.error().text, HasSubstr("was changed since it was found"));
  EXPECT_THAT(names(), IsEmpty());
}

// `vmemfs list` said that there is nothing, right after an image was saved.
TEST_F(DumpDirectoryTest, FileOfAMomentAgo_IsWaitedForByWhoLooksOnce) {
  write_file(dir_ / "a", lime('a'));
  // However long this test takes until the directory is looked at.
  fs::last_write_time(dir_ / "a", fs::file_time_type::clock::now() + std::chrono::hours{1});
  DumpDirectory of_a_mount{dir_.path(), "known", files_};
  of_a_mount.begin(std::chrono::steady_clock::now() + std::chrono::seconds{2});
  EXPECT_THAT(*of_a_mount.scan(), IsEmpty());
  DumpDirectory of_a_list{dir_.path(), "known", files_};
  of_a_list.begin(std::chrono::steady_clock::now() + std::chrono::seconds{10});
  EXPECT_EQ(of_a_list.scan()->size(), 1U);
}

TEST_F(DumpDirectoryTest, FileThatIsNoDump_IsRefusedWithTheReason) {
  put("notes.txt", "not a dump");
  EXPECT_THAT(names(), ElementsAre("notes.txt"));
  const auto driver = open("notes.txt");
  ASSERT_FALSE(driver);
  EXPECT_THAT(driver.error().text, HasSubstr("no known format"));
  EXPECT_THAT(driver.error().text, HasSubstr("format=raw"));
}

TEST_F(DumpDirectoryTest, MoreFilesThanTheLimit_AreBounded) {
  for (std::size_t i = 0; i < DumpDirectory::kMaxFiles + 10; ++i) {
    put("f" + std::to_string(i), "x");
  }
  const auto count = names().size();
  EXPECT_LE(count, DumpDirectory::kMaxFiles);
  EXPECT_GE(count, 16U);
}

TEST_F(DumpDirectoryTest, MissingDirectory_IsAnErrorUntilItIsThere) {
  const std::string path = other_ / "later";
  DumpDirectory later{path, "known", files_};
  const auto missing = later.scan();
  ASSERT_FALSE(missing);
  EXPECT_THAT(missing.error().text, HasSubstr("cannot find the directory '" + path));
  fs::create_directory(path);
  put("a", lime('a'));
  fs::rename(dir_ / "a", path + "/a");
  EXPECT_TRUE(eventually([&] {
    const auto found = later.scan();
    return found && found->size() == 1;
  }));
}

TEST_F(DumpDirectoryTest, DirectoryReplaced_ShowsTheFilesOfTheNewOne) {
  const std::string path = other_ / "d";
  fs::create_directory(path);
  put("a", lime('a'));
  fs::rename(dir_ / "a", path + "/a");
  DumpDirectory directory{path, "known", files_};
  ASSERT_TRUE(eventually([&] { return directory.scan()->size() == 1; }));
  fs::rename(path, other_ / "old");
  fs::create_directory(path);
  EXPECT_THAT(*directory.scan(), IsEmpty());
}

} // namespace
} // namespace vmemfs::test
