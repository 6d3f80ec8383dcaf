// SPDX-License-Identifier: MIT
#include "fs/files/control/command_file.h"
#include "fs/files/control/control_command.h"

#include <algorithm>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <iterator>

namespace vmemfs {
namespace {

using std::chrono::milliseconds;
using testing::HasSubstr;
using testing::StartsWith;

template <typename Command> Command parsed(std::string_view line) {
  const auto command = parse_vm_command(line);
  EXPECT_TRUE(command.has_value()) << line << ": " << (command ? "" : command.error().text);
  return std::get<Command>(command.value());
}

TEST(ControlCommand, Pause_EachKind) {
  EXPECT_EQ(parsed<PauseCommand>("pause").kind, PauseKind::plain);
  EXPECT_EQ(parsed<PauseCommand>("pause keep").kind, PauseKind::keep);
  EXPECT_EQ(parsed<PauseCommand>("pause   ttl=5s").for_how_long, milliseconds{5000});
  EXPECT_EQ(parsed<PauseCommand>("pause ttl=250ms").kind, PauseKind::timed);
  EXPECT_EQ(parsed<PauseCommand>("pause ttl=24h").for_how_long, std::chrono::days{1});
  EXPECT_EQ(parsed<PauseCommand>("pause ttl=1d").for_how_long, std::chrono::days{1});
  static_cast<void>(parsed<HoldCommand>("pause hold"));
  static_cast<void>(parsed<ResumeCommand>("resume"));
}

TEST(ControlCommand, Settings) {
  EXPECT_TRUE(parsed<WriteCommand>("write on").on);
  EXPECT_FALSE(parsed<WriteCommand>("write off").on);
  const auto cache = parsed<CacheCommand>("cache on size=64M ttl=100ms");
  EXPECT_EQ(cache.mode, CacheMode::on);
  EXPECT_EQ(cache.size, std::uint64_t{64} << 20U);
  EXPECT_EQ(cache.ttl, milliseconds{100});
  EXPECT_FALSE(parsed<CacheCommand>("cache ttl=0").mode.has_value());
  EXPECT_TRUE(parsed<CacheCommand>("cache size=share").fair_share);
  EXPECT_EQ(parsed<CacheCommand>("cache auto").mode, CacheMode::automatic);
  EXPECT_EQ(parsed<CacheCommand>("cache kernel=on").kernel, CacheMode::on);
  EXPECT_FALSE(parsed<CacheCommand>("cache kernel=on").mode.has_value());
}

TEST(ControlCommand, InvalidCommand_IsNamedWithTheValidOnes) {
  const struct {
    std::string_view line;
    std::string_view says;
  } cases[] = {
      {"puase", "there is no command 'puase'; there are: pause resume"},
      {"PAUSE", "there is no command 'PAUSE'"},
      {"pause now", "'now' is not understood"},
      {"pause hold keep", "only one of these"},
      {"pause ttl=", "'' is not a duration"},
      {"pause ttl=0", "not a duration from 1ms"},
      {"pause ttl=-5s", "'-5s' is not a duration"},
      {"pause ttl=99999999999999999999s", "is not a duration"},
      {"pause ttl=5", "'5' is not a duration from 1ms to 1d (a number with ms, s, m, h or d)"},
      {"pause ttl=1441m", "is not a duration from 1ms to 1d"},
      {"pause ttl=25h", "is not a duration from 1ms to 1d"},
      {"resume now", "resume: 'now' is too much"},
      {"write", "on or off is missing"},
      {"write maybe", "on or off, nothing else"},
      {"write on off", "on or off, nothing else"},
      {"cache", "what about it is missing"},
      {"cache on off", "the mode is given twice; it is: cache [auto|on|off]"},
      {"cache on on", "the mode is given twice"},
      {"cache size=1M size=share", "size is given twice"},
      {"cache size=share on size=1M", "size is given twice"},
      {"cache ttl=1s ttl=2s", "ttl is given twice"},
      {"cache kernel=on kernel=on", "kernel is given twice"},
      {"cache kernel=", "'' is not auto, on or off"},
      {"cache kernel=yes", "'yes' is not auto, on or off"},
      {"cache size=", "'' is not a size such as 64M"},
      {"cache size=-1", "'-1' is not a size such as 64M"},
      {"cache size=16777216T", "'16777216T' is not a size such as 64M"},
      {"cache size=18446744073709551616", "'18446744073709551616' is not a size"},
      {"cache ttl=", "'' is not a duration"},
      {"cache ttl=99999999999999999999m", "is not a duration up to 1d"},
      {"cache ttl=5", "'5' is not a duration up to 1d (a number with ms, s, m, h or d)"},
      {std::string_view{"cache ttl=1\0s", 13}, "'1\\x00s' is not a duration"},
      {"cache size=much", "'much' is not a size such as 64M"},
      {"cache ttl=soon", "'soon' is not a duration"},
      {"cache faster", "'faster' is not understood; it is: cache [auto|on|off]"},
      {"flush all", "'all' is too much"},
      {std::string_view{"pa\0use", 6}, "'pa\\x00use'"},
      {"\xff\xfe\x01", "'\\xff\\xfe\\x01'"},
  };
  for (const auto& [line, says] : cases) {
    const auto command = parse_vm_command(line);
    ASSERT_FALSE(command.has_value()) << line;
    EXPECT_EQ(command.error().kind, ErrorKind::invalid);
    EXPECT_THAT(command.error().text, HasSubstr(std::string{says}));
  }
}

TEST(ControlCommand, MountCommand_Parsed) {
  const auto attach = parse_mount_command("attach  one=fake:size=1M").value();
  EXPECT_EQ(std::get<AttachVmCommand>(attach).spec.name, "one");
  EXPECT_EQ(std::get<AttachVmCommand>(attach).spec.driver, "fake");
  EXPECT_EQ(std::get<AttachVmCommand>(attach).spec.params, "size=1M");
  const auto detach = parse_mount_command("detach my vm").value();
  EXPECT_EQ(std::get<DetachVmCommand>(detach).name, "my vm");
  EXPECT_TRUE(std::holds_alternative<StatusCommand>(parse_mount_command("status").value()));
}

TEST(ControlCommand, InvalidMountCommand_IsNamedWithTheValidOnes) {
  const struct {
    std::string_view line;
    std::string_view says;
  } cases[] = {
      {"pause", "there is no command 'pause'; there are: attach detach status"},
      {"attach", "attach: the VM is missing; it is: attach [NAME=]DRIVER[:KEY=VALUE,...]"},
      {"detach", "detach: the VM is missing; it is: detach NAME"},
      {"status now", "status: 'now' is too much; it is: status"},
      {"attach one=nonsense:a=b", "attach one=nonsense:a=b: there is no driver 'nonsense'"},
      {"attach one=fake:size=much", "size: 'much' is not allowed; it takes a size"},
      {"attach one=fake:size=18446744073709551616", "'18446744073709551616' is not allowed"},
      {"attach one=fake:size", "'size' is not KEY=VALUE"},
      {std::string_view{"attach a=dump:path=/a\0b", 23}, "path: '/a\\x00b' is not allowed"},
      {"attach =fake", "there is no name before the '='"},
      {std::string_view{"attach a\0b=fake", 15}, "'a\\x00b' cannot be a VM's name"},
      {std::string_view{"sta\0tus", 7}, "there is no command 'sta\\x00tus'"},
  };
  for (const auto& [line, says] : cases) {
    const auto command = parse_mount_command(line);
    ASSERT_FALSE(command.has_value()) << line;
    EXPECT_EQ(command.error().kind, ErrorKind::invalid);
    EXPECT_THAT(command.error().text, HasSubstr(std::string{says}));
  }
}

TEST(ControlCommand, VmWithoutAbilities_HasOnlyTheCommandsThatNeedNone) {
  EXPECT_EQ(vm_command_lines({.run_control = false, .writes = false}),
            "command cache [auto|on|off] [size=BYTES|size=share] [ttl=DURATION] [kernel=auto|on|off]\n"
            "command refresh\ncommand flush\ncommand status\ncommand detach\n");
  EXPECT_THAT(vm_command_lines({.run_control = true, .writes = true}),
              StartsWith("command pause [hold|ttl=DURATION|keep]\ncommand resume\ncommand write on|off\n"));
  EXPECT_EQ(mount_command_lines(),
            "command attach [NAME=]DRIVER[:KEY=VALUE,...]\ncommand detach NAME\ncommand status\n");
}

TEST(ControlCommand, EachRow_HasASummaryOfOneLine) {
  auto all = vm_commands();
  std::ranges::copy(mount_commands(), std::back_inserter(all));
  EXPECT_EQ(all.size(), 11U);
  for (const CommandSyntax& command : all) {
    EXPECT_FALSE(command.summary.empty()) << command.name;
    EXPECT_FALSE(command.summary.find('\n') != std::string_view::npos) << command.name;
  }
}

TEST(ControlCommand, Text_IsParsedLineByLine) {
  const auto lines = command_lines("pause\n\n  flush \nresume");
  ASSERT_TRUE(lines.has_value());
  ASSERT_EQ(lines->size(), 3U);
  EXPECT_EQ((*lines)[0].begin, 0U);
  EXPECT_EQ((*lines)[1].begin, 7U);
  EXPECT_EQ((*lines)[1].command, "flush");
  EXPECT_EQ((*lines)[2].begin, 16U);
  EXPECT_TRUE(command_lines("").value().empty());
  const auto large = command_lines(std::string(5000, '\n'));
  ASSERT_FALSE(large.has_value());
  EXPECT_THAT(large.error().text, HasSubstr("5000 bytes"));
}

} // namespace
} // namespace vmemfs
