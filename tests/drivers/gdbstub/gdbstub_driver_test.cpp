// SPDX-License-Identifier: MIT
// What a well-behaved server's target looks like.
#include "arch/x86_64/registers.h"
#include "support/files.h"
#include "tests/drivers/gdbstub/attached_server.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

namespace vmemfs::gdbstub {
namespace {

using testing::Contains;
using testing::HasSubstr;
using testing::Not;
using x86_64::Register;

Script with_features(std::string features) {
  Script script;
  script.features = std::move(features);
  return script;
}

constexpr const char* kAll = "PacketSize=400;qXfer:features:read+;qXfer:memory-map:read+;";

TEST(GdbstubDriver, Map_IsThatOfTheServer) {
  AttachedServer attached{{}};
  const auto map = attached.driver().memory_map();
  ASSERT_EQ(map->regions().size(), 2U);
  EXPECT_EQ(map->regions()[0].range, (GpaRange{Gpa{0x10000}, Gpa{0x50000}}));
  EXPECT_EQ(map->regions()[0].kind, RegionKind::ram);
  EXPECT_EQ(map->regions()[1].range, (GpaRange{Gpa{0x100000}, Gpa{0x101000}}));
  EXPECT_EQ(map->regions()[1].kind, RegionKind::rom);
  EXPECT_THAT(attached.driver().access().map, HasSubstr("server"));
  EXPECT_THAT(attached.driver().access().ram, HasSubstr("what the server calls them"));
  EXPECT_EQ(attached.driver().identity().architecture, "x86_64");
}

TEST(GdbstubDriver, Map_IsTheUsersIfGiven) {
  AttachedServer attached{with_features("PacketSize=400"), ",maps=0x10000-0x11000"};
  EXPECT_EQ(attached.driver().memory_map()->ram_end(), Gpa{0x11000});
  EXPECT_TRUE(attached.reads_right(0x10000, 0x1000));
  EXPECT_EQ(attached.driver().register_reader(), nullptr);
  EXPECT_THAT(attached.driver().access().registers, HasSubstr("does not describe its registers"));
}

TEST(GdbstubDriver, NoMap_IsRefusedWithTheRemedy_AndTheTargetRuns) {
  AttachedServer attached{{}, ",maps=0x10000-0x11000"};
  attached.detach();
  ScriptedServer bare{with_features("PacketSize=400")};
  FdWatcher watcher;
  Worker worker;
  const DriverType& type = gdbstub_driver_type();
  const auto params = Params::parse("address=" + bare.address(), type.params()).value();
  const auto driver = type.open(params, {watcher, worker});
  ASSERT_FALSE(driver);
  EXPECT_EQ(driver.error().kind, ErrorKind::unsupported);
  EXPECT_THAT(driver.error().text, HasSubstr("maps=0-128M"));
  EXPECT_THAT(bare.requests(), Contains("D"));
}

TEST(GdbstubDriver, BadMaps_AreRefusedBeforeConnecting) {
  AttachedServer attached{{}};
  attached.detach();
  const std::size_t before = attached.server().requests().size();
  const auto driver = attached.open(",maps=0x10000");
  ASSERT_FALSE(driver);
  EXPECT_EQ(driver.error().kind, ErrorKind::invalid);
  EXPECT_EQ(attached.server().requests().size(), before);
}

TEST(GdbstubDriver, Memory_InEveryForm) {
  for (const char* const form :
       {"", "QStartNoAckMode+", "binary-upload+", "QStartNoAckMode+;binary-upload+"}) {
    SCOPED_TRACE(form);
    AttachedServer attached{with_features(std::string{kAll} + form)};
    EXPECT_TRUE(attached.reads_right(0x10000, 0x40000));
    EXPECT_TRUE(attached.reads_right(0x10fff, 3));
    EXPECT_TRUE(attached.reads_right(0x100000, 0x1000));
    const bool binary = std::string_view{form}.find("binary") != std::string_view::npos;
    EXPECT_THAT(attached.server().requests(), Contains(binary ? "x10000,200" : "m10000,200"));
  }
}

TEST(GdbstubDriver, PausedTarget_IsCachedOnlyByTheUsersWord) {
  AttachedServer attached{{}};
  EXPECT_FALSE(attached.driver().state_delay());
  attached.detach();
  const auto alone = attached.open(",alone=on");
  ASSERT_TRUE(alone) << alone.error().message();
  EXPECT_TRUE((*alone)->state_delay());
}

TEST(GdbstubDriver, ShortReplies_AreCompleted) {
  for (const char* const form : {"", "QStartNoAckMode+;binary-upload+"}) {
    Script script = with_features(std::string{kAll} + form);
    script.max_read = 100;
    AttachedServer attached{std::move(script)};
    EXPECT_TRUE(attached.reads_right(0x10000, 0x2000)) << form;
  }
}

TEST(GdbstubDriver, RunLengths_AreExpanded) {
  Script script;
  // '"' is 34: five more, so that there are six of each digit.
  script.fixed = {{"m10000,10", "0*\"1*\"00112233445566778899"}};
  AttachedServer attached{std::move(script)};
  const ReadPiece piece = attached.read(0x10000, 16);
  ASSERT_FALSE(piece.failure);
  EXPECT_EQ(piece.buffer[0], std::byte{0x00});
  EXPECT_EQ(piece.buffer[2], std::byte{0x00});
  EXPECT_EQ(piece.buffer[3], std::byte{0x11});
  EXPECT_EQ(piece.buffer[15], std::byte{0x99});
}

TEST(GdbstubDriver, UnreadablePage_EndsThePieceThere) {
  for (const char* const size : {"400", "8000"}) {
    Script script = with_features(
        fmt::format("PacketSize={};qXfer:features:read+;qXfer:memory-map:read+;QStartNoAckMode+", size));
    script.unreadable = 0x12000;
    AttachedServer attached{std::move(script)};
    const ReadPiece piece = attached.read(0x10800, 0x4000);
    EXPECT_EQ(piece.failure, ErrorKind::bad_page) << size;
    EXPECT_EQ(piece.done, 0x1800U) << size;
    EXPECT_TRUE(attached.is_right(0x10800, piece.done));
    EXPECT_TRUE(attached.reads_right(0x13000, 0x1000));
  }
}

TEST(GdbstubDriver, Registers_ByTheDescription) {
  AttachedServer attached{{}};
  RegisterReader* const reader = attached.driver().register_reader();
  ASSERT_NE(reader, nullptr);
  const auto registers = reader->read_vcpu(VcpuId{1});
  ASSERT_TRUE(registers) << registers.error().message();
  EXPECT_EQ(registers->get(Register::rax), 0x1122334455667788U);
  EXPECT_EQ(registers->get(Register::rflags), 0x246U);
  EXPECT_EQ(registers->get(Register::cr3), 0x3000U) << "behind the end of g, by p";
  EXPECT_EQ(registers->get(Register::rbx), std::nullopt);
  EXPECT_THAT(attached.server().requests(), Contains("Hg2"));
  EXPECT_EQ(reader->read_vcpu(VcpuId{2}).error().kind, ErrorKind::not_found);
  EXPECT_EQ(attached.driver().vcpus(), VcpuSet::first(2));
}

TEST(GdbstubDriver, RegistersThatTheServerDoesNotHave_AreAbsent) {
  Script script;
  script.fixed = {{"g", "xxxxxxxxxxxxxxxx46020000"}, {"p28", "E01"}};
  AttachedServer attached{std::move(script)};
  const auto registers = attached.driver().register_reader()->read_vcpu(VcpuId{0});
  ASSERT_TRUE(registers);
  EXPECT_EQ(registers->get(Register::rax), std::nullopt);
  EXPECT_EQ(registers->get(Register::rflags), 0x246U);
  EXPECT_EQ(registers->get(Register::cr3), std::nullopt);
}

TEST(GdbstubDriver, ThreadsThatAreNotVcpus_AreOneVcpu) {
  Script script;
  script.fixed = {{"qfThreadInfo", "mfffffffe,1,2,6f1"}};
  AttachedServer attached{std::move(script)};
  EXPECT_EQ(attached.driver().vcpus(), VcpuSet::first(1));
  EXPECT_TRUE(attached.driver().register_reader()->read_vcpu(VcpuId{0}));
  EXPECT_THAT(attached.server().requests(), Contains("Hg0"));
}

TEST(GdbstubDriver, UnknownArchitecture_HasMemoryAndTheReason) {
  Script script;
  script.descriptions["target.xml"] = "<target><architecture>riscv:rv32</architecture></target>";
  AttachedServer attached{std::move(script)};
  EXPECT_EQ(attached.driver().register_reader(), nullptr);
  EXPECT_THAT(attached.driver().access().registers, HasSubstr("not supported for riscv:rv32"));
  EXPECT_EQ(attached.driver().identity().architecture, "riscv32");
  EXPECT_TRUE(attached.reads_right(0x10000, 100));
}

TEST(GdbstubDriver, ResumeAndPause) {
  for (const char* const actions : {"vCont;c;C;s;S", ""}) {
    Script script;
    script.fixed = {{"vCont?", actions}};
    AttachedServer attached{std::move(script)};
    EXPECT_FALSE(attached.control().run_status()->running);
    ASSERT_TRUE(attached.control().resume());
    EXPECT_TRUE(test::eventually([&] { return attached.server().running(); }));
    EXPECT_TRUE(attached.control().run_status()->running);
    EXPECT_EQ(attached.read(0x10000, 16).failure, ErrorKind::busy);
    const auto registers = attached.driver().register_reader()->read_vcpu(VcpuId{0});
    ASSERT_FALSE(registers);
    EXPECT_EQ(registers.error().kind, ErrorKind::busy);
    EXPECT_THAT(registers.error().text, HasSubstr("pause"));
    attached.server().send(framed("O48690a")); // what the target prints
    ASSERT_TRUE(attached.control().pause());
    EXPECT_FALSE(attached.server().running());
    EXPECT_TRUE(attached.reads_right(0x10000, 100));
    EXPECT_EQ(attached.events().resumed, 1);
    EXPECT_EQ(attached.events().paused, 1);
    EXPECT_THAT(attached.server().requests(), Contains(*actions == 0 ? "c" : "vCont;c"));
  }
}

TEST(GdbstubDriver, StopsByItself_IsNoticedAndNotByCommand) {
  AttachedServer attached{{}};
  ASSERT_TRUE(attached.control().resume());
  EXPECT_TRUE(test::eventually([&] { return attached.server().running(); }));
  attached.server().stop_target("T05thread:1;");
  EXPECT_TRUE(test::eventually([&] { return attached.events().paused == 1; }));
  const auto status = attached.control().run_status();
  ASSERT_TRUE(status);
  EXPECT_FALSE(status->running);
  EXPECT_FALSE(status->by_command);
  EXPECT_EQ(status->detail, "stopped (T05)");
}

TEST(GdbstubDriver, Leave_IsCarriedOut) {
  struct Case {
    const char* params;
    bool detaches;
  };
  for (const auto& [params, detaches] :
       {Case{"", true}, Case{",leave=running", true}, Case{",leave=stopped", false}}) {
    AttachedServer attached{{}, params};
    attached.detach();
    if (detaches) {
      EXPECT_THAT(attached.server().requests(), Contains("D")) << params;
    } else {
      EXPECT_THAT(attached.server().requests(), Not(Contains("D"))) << params;
    }
  }
}

TEST(GdbstubDriver, ThreadIdsWithProcesses_AreVcpus_AndDetachNamesTheProcess) {
  Script script;
  script.fixed = {{"qC", "QCp01.01"},
                  {"qfThreadInfo", "mp01.01,p01.02"},
                  {"Hgp01.02", "OK"},
                  {"D", "E22"},
                  {"D;01", "OK"}};
  AttachedServer attached{std::move(script)};
  EXPECT_EQ(attached.driver().vcpus(), VcpuSet::first(2));
  EXPECT_TRUE(attached.driver().register_reader()->read_vcpu(VcpuId{1}));
  EXPECT_TRUE(attached.driver().detach());
  EXPECT_THAT(attached.server().requests(), Contains("D;01"));
  EXPECT_THAT(attached.server().requests(), Not(Contains("D")));
}

TEST(GdbstubDriver, DetachRefused_IsTriedInTheOtherForm_AndThenByResuming) {
  Script script;
  script.fixed = {{"D", "E22"}, {"D;1", ""}};
  AttachedServer attached{std::move(script)};
  EXPECT_TRUE(attached.driver().detach());
  EXPECT_THAT(attached.server().requests(), Contains("D;1"));
  EXPECT_TRUE(attached.server().running());
  EXPECT_TRUE(attached.driver().gone());
  EXPECT_TRUE(attached.driver().detach()) << "only the first one does anything";
}

TEST(GdbstubDriver, DetachRefusedAltogether_Fails) {
  Script script;
  script.fixed = {{"D", "E22"}, {"D;1", "E22"}};
  script.answer = [](const std::string& request, unsigned) {
    return request == "vCont;c" ? std::optional{Answer{.text = "E01"}} : std::nullopt;
  };
  AttachedServer attached{std::move(script)};
  const auto detached = attached.driver().detach();
  ASSERT_FALSE(detached);
  EXPECT_THAT(detached.error().text, HasSubstr("may stay stopped"));
}

TEST(GdbstubDriver, ResumedAndPausedByUs_IsLeftPaused) {
  AttachedServer attached{{}};
  ASSERT_TRUE(attached.control().resume());
  ASSERT_TRUE(test::eventually([&] { return attached.server().running(); }));
  ASSERT_TRUE(attached.control().pause());
  EXPECT_THAT(attached.driver().access().run_control, HasSubstr("leaves it stopped"));
  attached.detach();
  EXPECT_THAT(attached.server().requests(), Not(Contains("D")));
}

TEST(GdbstubDriver, Ticket_ResumesTheTarget) {
  AttachedServer attached{{}, ",leave=stopped"};
  EXPECT_EQ(attached.control().resume_ticket(), "") << "it is to stay stopped";
  ASSERT_TRUE(attached.control().pause());
  const std::string ticket = attached.control().resume_ticket();
  attached.detach();
  ASSERT_TRUE(gdbstub_driver_type().resume_orphan(ticket, nullptr));
  EXPECT_THAT(attached.server().requests(), Contains("D"));
  for (const char* text : {"", "timeout=5\naddress=nowhere", "timeout=x\naddress=/a", "address=/a"}) {
    EXPECT_FALSE(gdbstub_driver_type().resume_orphan(text, nullptr)) << text;
  }
  EXPECT_TRUE(gdbstub_driver_type().resume_orphan("timeout=1000\naddress=/no/server\n", nullptr));
}

} // namespace
} // namespace vmemfs::gdbstub
