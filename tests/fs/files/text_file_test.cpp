// SPDX-License-Identifier: MIT
#include "fs/files/text_file.h"
#include "support/recording_reply.h"

#include <cstddef>
#include <gtest/gtest.h>
#include <memory>
#include <string>

namespace vmemfs::test {
namespace {

TEST(TextFile, ReadFromStart_MakesTextAgain) {
  int made = 0;
  TextFile file{[&]() -> Result<std::string> { return "text " + std::to_string(++made); }};
  EXPECT_EQ(read_file(file)->bytes(), "text 1");
  EXPECT_EQ(read_file(file)->bytes(), "text 2");
}

TEST(TextFile, ReadFurtherOn_ContinuesSameText) {
  int made = 0;
  TextFile file{[&]() -> Result<std::string> { return "text " + std::to_string(++made); }};
  EXPECT_EQ(read_file(file, 0, 3)->bytes(), "tex");
  EXPECT_EQ(read_file(file, 3, 10)->bytes(), "t 1");
  EXPECT_EQ(read_file(file, 6)->bytes(), "");
  EXPECT_EQ(read_file(file, 1U << 30U)->bytes(), "");
  EXPECT_EQ(made, 1);
}

TEST(TextFile, MadeWhenOpened_IsTheFirstReadAndItsSizeIsKnown) {
  int made = 1;
  const auto size = std::make_shared<TextSize>();
  TextFile file{[&]() -> Result<std::string> { return "text " + std::to_string(++made); }, size};
  ASSERT_TRUE(file.begin_with("text 1"));
  EXPECT_EQ(size->last_read(), 6U);
  EXPECT_EQ(size->promise(size->last_read()), 6U);
  EXPECT_EQ(read_file(file, 3, 10)->bytes(), "t 1");
  EXPECT_EQ(made, 1);
  EXPECT_EQ(read_file(file)->bytes(), "text 2");
}

TEST(TextFile, SourceFails_ErrorIsTheReply) {
  TextFile file{[]() -> Result<std::string> { return fail(ErrorKind::timed_out, "test", "late"); }};
  const auto answer = read_file(file);
  EXPECT_EQ(answer->error(), ErrorKind::timed_out);
  EXPECT_EQ(answer->count(), 1);
}

TEST(TextFile, BeyondTheLimit_IsAnErrorAndTheTextBeforeStays) {
  std::string made = "short";
  TextFile file{[&]() -> Result<std::string> { return made; }, std::make_shared<TextSize>(), nullptr,
                [](const std::shared_ptr<const void>& /*text*/, std::size_t bytes) {
                  return bytes <= 5 ? Result<void>{} : fail(ErrorKind::no_memory, "test", "too long");
                }};
  EXPECT_FALSE(file.begin_with("longer"));
  EXPECT_EQ(read_file(file)->bytes(), "short");
  made = "longer";
  EXPECT_EQ(read_file(file)->error(), ErrorKind::no_memory);
  EXPECT_EQ(read_file(file, 1, 10)->bytes(), "hort");
}

TEST(TextFile, WriteAndSeek_Refused) {
  TextFile file{[]() -> Result<std::string> { return "text"; }};
  EXPECT_EQ(file.write("x", 0).error().kind, ErrorKind::read_only);
  EXPECT_EQ(answer_to([&](Reply& reply) { file.seek(reply, 0, 3); })->error(), ErrorKind::invalid);
}

} // namespace
} // namespace vmemfs::test
