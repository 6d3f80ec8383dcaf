// SPDX-License-Identifier: MIT
#include "fs/files/control/command_file.h"
#include "support/recording_reply.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace vmemfs::test {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

/// Knows `say WORD` and `fail`.
class Commands : public CommandFile {
public:
  std::vector<std::string> done;
  bool is_gone = false;

private:
  Result<Action> prepare(std::string_view command) override {
    if (command == "fail") {
      return [] { return Result<std::string>{fail(ErrorKind::busy, "test", "it failed")}; };
    }
    if (!command.starts_with("say ")) {
      return fail(ErrorKind::invalid, "test", "unknown command");
    }
    return [this, word = std::string{command.substr(4)}]() -> Result<std::string> {
      done.push_back(word);
      return word + '\n';
    };
  }
  Result<std::string> status() override { return "status\n"; }
  bool gone() const override { return is_gone; }
};

TEST(CommandFile, ReadWithoutCommand_GivesStatus) {
  Commands file;
  EXPECT_EQ(read_file(file)->bytes(), "status\n");
  EXPECT_EQ(read_file(file, 7)->bytes(), "");
}

TEST(CommandFile, Write_LinesRunInOrder_LastAnswerIsRead) {
  Commands file;
  constexpr std::string_view kText = "say one\n\n  say two \n";
  EXPECT_EQ(file.write(kText, 0), kText.size());
  EXPECT_THAT(file.done, ElementsAre("one", "two"));
  EXPECT_EQ(read_file(file, kText.size())->bytes(), "two\n");
  EXPECT_EQ(read_file(file, 0)->bytes(), "two\n");
}

TEST(CommandFile, Write_OneLineMalformed_NoneRuns) {
  Commands file;
  EXPECT_EQ(file.write("say one\nnonsense\n", 0).error().kind, ErrorKind::invalid);
  EXPECT_TRUE(file.done.empty());
  EXPECT_THAT(read_file(file)->bytes(), HasSubstr("unknown command"));
}

TEST(CommandFile, Write_SecondLineFails_FirstCountsAsWritten) {
  Commands file;
  constexpr std::string_view kFirst = "say one\n";
  EXPECT_EQ(file.write("say one\nfail\n", 0), kFirst.size());
  EXPECT_EQ(file.write("fail\n", kFirst.size()).error().kind, ErrorKind::busy);
  EXPECT_THAT(file.done, ElementsAre("one"));
}

TEST(CommandFile, Write_TooLong_Invalid) {
  Commands file;
  EXPECT_EQ(file.write(std::string(5000, 'x'), 0).error().kind, ErrorKind::invalid);
}

TEST(CommandFile, Write_Gone_FailsAndRunsNothing) {
  Commands file;
  file.is_gone = true;
  EXPECT_EQ(file.write("say one\n", 0).error().kind, ErrorKind::vm_gone);
  EXPECT_TRUE(file.done.empty());
}

TEST(CommandFile, Read_Gone_Fails) {
  Commands file;
  file.is_gone = true;
  EXPECT_EQ(read_file(file)->error(), ErrorKind::vm_gone);
}

} // namespace
} // namespace vmemfs::test
