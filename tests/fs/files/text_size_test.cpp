// SPDX-License-Identifier: MIT
#include "fs/files/text_file.h"
#include "fs/files/text_size.h"
#include "support/recording_reply.h"

#include <gtest/gtest.h>
#include <memory>
#include <string>

namespace vmemfs::test {
namespace {

std::string fitted(TextSize& size, std::string text) {
  static_cast<void>(size.fits(text));
  size.fit(text);
  return text;
}

TEST(TextSize, NothingPromised_TextStays) {
  TextSize size;
  EXPECT_EQ(fitted(size, "one\n"), "one\n");
  EXPECT_EQ(fitted(size, ""), "");
}

TEST(TextSize, ShorterThanPromised_BlanksAtTheEndOfTheLastLine) {
  TextSize size;
  EXPECT_EQ(size.promise(8), 8U);
  EXPECT_EQ(fitted(size, "one\n"), "one    \n");
  EXPECT_EQ(fitted(size, "12345678\n"), "12345678\n") << "it has grown";
  EXPECT_EQ(size.promise(4), 9U) << "as last read";
}

TEST(TextSize, TextWithCounters_HasRoomToGrow) {
  TextSize size{TextSize::Varies::always};
  const std::size_t promised = size.promise(100);
  EXPECT_GT(promised, 110U);
  EXPECT_EQ(fitted(size, std::string(100, 'x') + '\n').size(), promised);
  EXPECT_EQ(fitted(size, std::string(110, 'x') + '\n').size(), promised);
}

TEST(TextSize, PaddingByComment_IsALineOfItsOwn) {
  TextSize size{TextSize::Varies::seldom, TextSize::Padding::comment};
  static_cast<void>(size.promise(8));
  EXPECT_EQ(fitted(size, "a 1\n"), "a 1\n#  \n");
  EXPECT_EQ(fitted(size, "a 1\nb 2"), "a 1\nb 2\n");
}

/// A VM that has begun to hang since: half a JSON object helps nobody.
TEST(TextSize, LongerThanPromised_ShortFormIsRead) {
  const auto size = std::make_shared<TextSize>();
  TextFile file{[]() -> Result<std::string> { return "state unknown, because\n"; }, size,
                []() -> Result<std::string> { return "state unknown\n"; }};
  const std::size_t promised = size->promise(16);
  EXPECT_EQ(read_file(file)->bytes(), "state unknown  \n");
  EXPECT_GT(size->promise(16), promised) << "the next reader gets all";
  EXPECT_EQ(read_file(file)->bytes(), "state unknown, because\n");
}

TEST(TextSize, OfATextFile_IsWhatIsRead) {
  const auto size = std::make_shared<TextSize>();
  TextFile file{[]() -> Result<std::string> { return "text\n"; }, size};
  const std::size_t promised = size->promise(20);
  EXPECT_EQ(read_file(file)->bytes().size(), promised);
  EXPECT_EQ(read_file(file, promised)->bytes(), "");
}

} // namespace
} // namespace vmemfs::test
