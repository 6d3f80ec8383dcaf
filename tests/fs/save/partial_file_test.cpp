// SPDX-License-Identifier: MIT
#include "fs/save/image/partial_file.h"
#include "support/files.h"

#include <filesystem>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <optional>
#include <string>
#include <sys/stat.h>
#include <unistd.h>

namespace vmemfs::test {
namespace {

using testing::HasSubstr;

void put(const PartialFile& file, const std::string& text) {
  EXPECT_EQ(::write(file.fd(), text.data(), text.size()), static_cast<ssize_t>(text.size()));
}

std::string error_of(const std::string& path, Overwrite overwrite = Overwrite::no) {
  const auto file = PartialFile::create(path, overwrite);
  return file ? "" : file.error().text;
}

TEST(PartialFiles, Published_HasItsNameAndIsThePrivateOne) {
  const TempDir dir;
  {
    auto file = PartialFile::create(dir / "image", Overwrite::no);
    ASSERT_TRUE(file) << file.error().text;
    put(*file, "all");
    EXPECT_TRUE(exists(dir / "image.partial"));
    EXPECT_FALSE(exists(dir / "image"));
    ASSERT_TRUE(file->sync());
    ASSERT_TRUE(file->publish());
  }
  EXPECT_FALSE(exists(dir / "image.partial"));
  EXPECT_EQ(read_file(dir / "image"), "all");
  struct stat status {};
  ASSERT_EQ(::stat((dir / "image").c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 07777U, 0600U);
}

TEST(PartialFiles, NotPublished_IsRemoved) {
  const TempDir dir;
  {
    auto file = PartialFile::create(dir / "image", Overwrite::no);
    ASSERT_TRUE(file);
    const PartialFile moved{std::move(*file)};
    put(moved, "half");
  }
  EXPECT_TRUE(std::filesystem::is_empty(dir.path()));
}

TEST(PartialFiles, Withdrawn_IsRemoved) {
  const TempDir dir;
  auto file = PartialFile::create(dir / "image", Overwrite::no);
  ASSERT_TRUE(file);
  ASSERT_TRUE(file->publish());
  file->withdraw();
  EXPECT_TRUE(std::filesystem::is_empty(dir.path()));
}

TEST(PartialFiles, NameExists_IsRefusedUnlessOverwritten) {
  const TempDir dir;
  write_file(dir / "image", "old");
  EXPECT_THAT(error_of(dir / "image"), HasSubstr("it exists; give another name, or --overwrite"));
  EXPECT_EQ(read_file(dir / "image"), "old");
  auto file = PartialFile::create(dir / "image", Overwrite::yes);
  ASSERT_TRUE(file);
  put(*file, "new");
  EXPECT_EQ(read_file(dir / "image"), "old");
  ASSERT_TRUE(file->publish());
  EXPECT_EQ(read_file(dir / "image"), "new");
}

TEST(PartialFiles, PartialExists_IsRefusedAndLeftAlone) {
  const TempDir dir;
  write_file(dir / "image.partial", "another's");
  for (const Overwrite overwrite : {Overwrite::no, Overwrite::yes}) {
    EXPECT_THAT(error_of(dir / "image", overwrite), HasSubstr("image.partial' exists; another save"));
  }
  EXPECT_EQ(read_file(dir / "image.partial"), "another's");
}

TEST(PartialFiles, NameAppearsMeanwhile_IsNotReplaced) {
  const TempDir dir;
  {
    auto file = PartialFile::create(dir / "image", Overwrite::no);
    ASSERT_TRUE(file);
    write_file(dir / "image", "another's");
    const auto published = file->publish();
    ASSERT_FALSE(published);
    EXPECT_THAT(published.error().text, HasSubstr("somebody else has created it in the meantime"));
  }
  EXPECT_EQ(read_file(dir / "image"), "another's");
  EXPECT_FALSE(exists(dir / "image.partial"));
}

TEST(PartialFiles, PartialReplacedMeanwhile_IsNotPublishedAndLeftAlone) {
  const TempDir dir;
  {
    auto file = PartialFile::create(dir / "image", Overwrite::yes);
    ASSERT_TRUE(file);
    std::filesystem::rename(dir / "image.partial", dir / "moved");
    write_file(dir / "image.partial", "another's");
    const auto published = file->publish();
    ASSERT_FALSE(published);
    EXPECT_THAT(published.error().text, HasSubstr("somebody else has removed or replaced 'image.partial'"));
  }
  EXPECT_FALSE(exists(dir / "image"));
  EXPECT_EQ(read_file(dir / "image.partial"), "another's");
}

TEST(PartialFiles, ReplacedAfterPublished_IsNotWithdrawn) {
  const TempDir dir;
  auto file = PartialFile::create(dir / "image", Overwrite::no);
  ASSERT_TRUE(file);
  ASSERT_TRUE(file->publish());
  std::filesystem::rename(dir / "image", dir / "moved");
  write_file(dir / "image", "another's");
  file->withdraw();
  EXPECT_EQ(read_file(dir / "image"), "another's");
}

TEST(PartialFiles, BadNames_SayWhatIsWrong) {
  const TempDir dir;
  EXPECT_THAT(error_of(dir.path()), HasSubstr("it is a directory; give the name of a new file"));
  EXPECT_THAT(error_of(dir.path(), Overwrite::yes), HasSubstr("it is a directory"));
  EXPECT_THAT(error_of(dir.path() + "/"), HasSubstr("is not the name of a file"));
  EXPECT_THAT(error_of(dir / "none/image"), HasSubstr("No such file or directory; give one that exists"));
  EXPECT_THAT(error_of("/dev/null", Overwrite::yes), HasSubstr("it is not a regular file"));
  EXPECT_THAT(error_of(dir / std::string(300, 'x')), HasSubstr("File name too long"));
}

TEST(PartialFiles, SymbolicLinkOfThatName_IsNotFollowed) {
  const TempDir dir;
  write_file(dir / "victim", "kept");
  std::filesystem::create_symlink(dir / "victim", dir / "image.partial");
  EXPECT_THAT(error_of(dir / "image"), HasSubstr("exists"));
  std::filesystem::create_symlink(dir / "victim", dir / "link");
  EXPECT_THAT(error_of(dir / "link", Overwrite::yes), HasSubstr("not a regular file"));
  EXPECT_EQ(read_file(dir / "victim"), "kept");
}

TEST(FreeSpace, TooLittle_HasBothNumbers) {
  const TempDir dir;
  auto file = PartialFile::create(dir / "image", Overwrite::no);
  ASSERT_TRUE(file);
  EXPECT_TRUE(check_free_space(*file, 1));
  const auto checked = check_free_space(*file, std::uint64_t{1} << 60U);
  ASSERT_FALSE(checked);
  EXPECT_THAT(checked.error().text, testing::AllOf(HasSubstr("1024.0 PiB (1152921504606846976 bytes)"),
                                                   HasSubstr("free some space")));
}

} // namespace
} // namespace vmemfs::test
