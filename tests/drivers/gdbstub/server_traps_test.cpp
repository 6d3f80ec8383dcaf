// SPDX-License-Identifier: MIT
// Servers that hang, lie, or break off: never a hang, a crash, or bytes of another address.
#include "support/files.h"
#include "tests/drivers/gdbstub/attached_server.h"
#include "util/work_limit.h"

#include <atomic>
#include <chrono>
#include <functional>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <memory>
#include <optional>
#include <stdexcept>
#include <stop_token>
#include <string>
#include <thread>
#include <utility>

namespace vmemfs::gdbstub {
namespace {

using namespace std::chrono_literals;
using testing::HasSubstr;
using Clock = std::chrono::steady_clock;
using Kind = Answer::Kind;

/// For servers that cannot be attached anyway.
constexpr const char* kShort = ",timeout=300ms";
/// For replies that are late: the others come before it, whatever the host's load.
constexpr const char* kLonger = ",timeout=2s";
constexpr auto kLate = 5s;

constexpr const char* kObjects = "PacketSize=400;qXfer:features:read+;qXfer:memory-map:read+;";

Script with(std::function<std::optional<Answer>(const std::string&, unsigned)> answer, bool no_ack = false) {
  Script script;
  script.answer = std::move(answer);
  if (no_ack) {
    script.features = std::string{kObjects} + "QStartNoAckMode+";
  }
  return script;
}

/// Misbehaves once it is armed, so that attaching works.
class Trap {
public:
  void arm(int times = 1 << 20) { *left_ = times; }
  Script script(Answer answer, bool no_ack = false) const {
    return with(
        [left = left_, answer](const std::string& request, unsigned) -> std::optional<Answer> {
          if (request.front() != 'm' || left->load() <= 0) {
            return std::nullopt;
          }
          --*left;
          return answer;
        },
        no_ack);
  }

private:
  std::shared_ptr<std::atomic<int>> left_ = std::make_shared<std::atomic<int>>(0);
};

/// A target of a server with this script cannot be attached.
Error why_not_attached(Script script, const std::string& params) {
  try {
    AttachedServer attached{std::move(script), params};
  } catch (const std::runtime_error& error) {
    return {ErrorKind::source_failed, "test", error.what()};
  }
  return {ErrorKind::invalid, "test", "attached"};
}

void expect_gone(AttachedServer& attached) {
  EXPECT_TRUE(test::eventually([&] { return attached.driver().gone() && attached.events().gone; }));
  const ReadPiece piece = attached.read(0x10000, 4096);
  EXPECT_EQ(piece.failure, ErrorKind::vm_gone);
  EXPECT_EQ(piece.done, 0U);
  EXPECT_EQ(attached.control().pause().error().kind, ErrorKind::vm_gone);
  EXPECT_EQ(attached.driver().register_reader()->read_vcpu(VcpuId{0}).error().kind, ErrorKind::vm_gone);
}

TEST(ServerTrap, NeverAnswers_AttachTimesOutWithTheRemedy) {
  const auto begin = Clock::now();
  const Error error =
      why_not_attached(with([](const std::string&, unsigned) { return Answer{Kind::nothing}; }), kShort);
  EXPECT_THAT(error.text, HasSubstr("did not answer within 300 ms; check that no other debugger uses it"));
  EXPECT_THAT(error.text, HasSubstr("kgdb"));
  EXPECT_LT(Clock::now() - begin, 60s);
}

TEST(ServerTrap, StopsAnsweringInTheMiddle_AttachTimesOut) {
  for (unsigned answered = 1; answered < 12; answered += 2) {
    const Error error =
        why_not_attached(with([answered](const std::string&, unsigned number) {
                           return number >= answered ? std::optional{Answer{Kind::nothing}} : std::nullopt;
                         }),
                         kShort);
    EXPECT_NE(error.kind, ErrorKind::invalid) << answered;
  }
}

TEST(ServerTrap, IsNotOfThisProtocol_AttachFails) {
  for (const char* const text :
       {"HTTP/1.1 400 Bad Request\r\n\r\n", "SSH-2.0-OpenSSH_9.2\r\n", "\x01\x02", "#"}) {
    const Error error = why_not_attached(with([text](const std::string&, unsigned) {
                                           return Answer{Kind::raw, text};
                                         }),
                                         "");
    EXPECT_THAT(error.text, HasSubstr("not a packet")) << text;
  }
}

TEST(ServerTrap, IsAMonitor_AttachNamesTheOtherSocket) {
  const Error error =
      why_not_attached(with([](const std::string&, unsigned) {
                         return Answer{Kind::raw, R"({"QMP": {"version": {"qemu": {"micro": 22}}}})"
                                                  "\r\n"};
                       }),
                       "");
  EXPECT_THAT(error.text,
              HasSubstr("not a GDB server but a QMP socket of QEMU; give the address of QEMU's -gdb"));
}

TEST(ServerTrap, GarbageForEachRequestInTurn_NeverCrashes) {
  for (const char* const text :
       {"", "E01", "OK", "mzz", "l<target", "T05", "QC", "\xff\xfe", "0*", "}", "bxx"}) {
    for (unsigned bad = 0; bad < 14; ++bad) {
      Script script = with([text, bad](const std::string&, unsigned number) {
        return number == bad ? std::optional{Answer{Kind::payload, text}} : std::nullopt;
      });
      try {
        AttachedServer attached{std::move(script), kShort};
        static_cast<void>(attached.read(0x10000, 4096));
        static_cast<void>(attached.driver().access());
      } catch (const std::runtime_error&) { // refused
      }
    }
  }
}

TEST(ServerTrap, GarbageInsteadOfMemory_EndsTheVm) {
  Trap trap;
  AttachedServer attached{trap.script({Kind::raw, "rubbish"})};
  trap.arm();
  EXPECT_EQ(attached.read(0x10000, 4096).failure, ErrorKind::vm_gone);
  expect_gone(attached);
}

TEST(ServerTrap, RepliesThatAreNotMemory_AreNoBytes) {
  for (const char* const text : {"", "0", "0g", "OK", "112233445566778899"}) {
    Trap trap;
    AttachedServer attached{trap.script({Kind::payload, text})};
    trap.arm();
    const ReadPiece piece = attached.read(0x10000, 8);
    EXPECT_EQ(piece.failure, ErrorKind::source_failed) << text;
    EXPECT_EQ(piece.done, 0U) << text;
  }
}

TEST(ServerTrap, WrongChecksumOnce_IsAskedForAgain) {
  Trap trap;
  AttachedServer attached{trap.script({Kind::damaged})};
  trap.arm(1);
  EXPECT_TRUE(attached.reads_right(0x10000, 0x1000));
  EXPECT_EQ(attached.server().rejected(), 1U);
}

TEST(ServerTrap, WrongChecksumsForever_EndTheVm) {
  for (const bool no_ack : {false, true}) {
    Trap trap;
    AttachedServer attached{trap.script({Kind::raw, "$1122#00$1122#00$1122#00$1122#00$1122#00"}, no_ack)};
    trap.arm();
    EXPECT_EQ(attached.read(0x10000, 64).failure, ErrorKind::vm_gone);
    expect_gone(attached);
  }
}

TEST(ServerTrap, RejectsForever_EndsTheVm) {
  Trap trap;
  AttachedServer attached{trap.script({Kind::raw, "-"})};
  trap.arm();
  EXPECT_EQ(attached.read(0x10000, 64).failure, ErrorKind::vm_gone);
  expect_gone(attached);
}

TEST(ServerTrap, ClosesOrResetsInTheMiddle_EndsTheVm) {
  for (const Kind kind : {Kind::close, Kind::reset}) {
    for (const bool no_ack : {false, true}) {
      Trap trap;
      AttachedServer attached{trap.script({kind, "1122"}, no_ack)};
      trap.arm();
      EXPECT_EQ(attached.read(0x10000, 0x8000).failure, ErrorKind::vm_gone);
      expect_gone(attached);
    }
  }
}

TEST(ServerTrap, PacketWithoutEnd_TimesOut) {
  Trap trap;
  AttachedServer attached{trap.script({Kind::raw, "$11223344"}), kLonger};
  trap.arm();
  EXPECT_EQ(attached.read(0x10000, 64).failure, ErrorKind::timed_out);
}

TEST(ServerTrap, ClosesWhileNobodyReads_IsNoticed) {
  AttachedServer attached{with([](const std::string& request, unsigned) {
    return request == "vCont;c" ? std::optional{Answer{Kind::close}} : std::nullopt;
  })};
  ASSERT_TRUE(attached.control().resume());
  expect_gone(attached);
}

TEST(ServerTrap, LateReply_IsNeverTakenForTheNextOne) {
  for (const bool no_ack : {false, true}) {
    Trap trap;
    AttachedServer attached{trap.script({Kind::payload, std::string(2 * 64, 'a'), kLate}, no_ack), kLonger};
    trap.arm(1);
    const ReadPiece piece = attached.read(0x10000, 64);
    EXPECT_EQ(piece.failure, ErrorKind::timed_out);
    EXPECT_EQ(piece.done, 0U);
    EXPECT_FALSE(attached.driver().gone());
    // Meanwhile the server is as slow as before; no read may give what was asked for by the first.
    EXPECT_TRUE(test::eventually([&] {
      const ReadPiece next = attached.read(0x20000, 64);
      EXPECT_TRUE(attached.is_right(0x20000, next.done));
      return !next.failure;
    }));
    EXPECT_TRUE(attached.reads_right(0x10000, 0x8000));
  }
}

TEST(ServerTrap, LateReply_OfAServerWithoutAMarker_EndsTheVm) {
  Trap trap;
  Script script = trap.script({Kind::payload, std::string(2 * 64, 'a'), kLate});
  script.fixed = {{"qC", ""}};
  AttachedServer attached{std::move(script), kLonger};
  trap.arm(1);
  EXPECT_EQ(attached.read(0x10000, 64).failure, ErrorKind::vm_gone);
  expect_gone(attached);
}

TEST(ServerTrap, TwoRepliesToOneRequest_SecondIsNotTakenForTheNext) {
  Trap trap;
  const std::string reply = framed(std::string(2 * 64, 'a'));
  AttachedServer attached{trap.script({Kind::raw, reply + reply})};
  trap.arm(1);
  static_cast<void>(attached.read(0x10000, 64)); // believes the first, as it has to
  EXPECT_TRUE(attached.reads_right(0x20000, 64));
}

TEST(ServerTrap, PausedTooLate_IsTimedOutAndThenPaused) {
  AttachedServer attached{
      with([](const std::string& request, unsigned) {
        return request == "<03>" ? std::optional{Answer{Kind::payload, "T02", kLate}} : std::nullopt;
      }),
      kLonger};
  ASSERT_TRUE(attached.control().resume());
  EXPECT_EQ(attached.control().pause().error().kind, ErrorKind::timed_out);
  EXPECT_TRUE(test::eventually([&] {
    const auto status = attached.control().run_status();
    return status && !status->running;
  }));
  EXPECT_TRUE(attached.reads_right(0x10000, 64));
}

TEST(ServerTrap, RefusesToResume_IsNotCalledRunning) {
  Script script;
  script.answer = [](const std::string& request, unsigned) {
    return request == "vCont;c" ? std::optional{Answer{Kind::payload, "E01"}} : std::nullopt;
  };
  AttachedServer attached{std::move(script)};
  ASSERT_TRUE(attached.control().resume());
  EXPECT_TRUE(test::eventually([&] {
    const auto status = attached.control().run_status();
    return status && !status->running && !status->by_command && status->detail == "stopped (E01)";
  }));
  EXPECT_TRUE(attached.reads_right(0x10000, 64));
}

/// The thread that takes reports is that of all VMs.
TEST(ServerTrap, SendsForever_KeepsNoThread) {
  Trap trap;
  AttachedServer attached{trap.script({Kind::nothing}), kLonger};
  ASSERT_TRUE(attached.control().resume());
  ASSERT_TRUE(test::eventually([&] { return attached.server().running(); }));
  std::string flood;
  while (flood.size() < (1 << 20)) {
    flood += "$#00";
  }
  std::jthread sender{[&](const std::stop_token& stop) {
    while (!stop.stop_requested() && !attached.events().gone) {
      attached.server().send(flood);
    }
  }};
  std::atomic<int> ticks{0};
  const auto watch = attached.watcher().watch_every_second([&] { ++ticks; });
  EXPECT_TRUE(test::eventually([&] { return ticks >= 3; }));
  const auto begin = Clock::now();
  static_cast<void>(attached.control().pause());
  EXPECT_LT(Clock::now() - begin, 60s);
  sender.request_stop();
  attached.detach();
}

/// Notifications need no answer, so that a server may send any number of them.
TEST(ServerTrap, NotifiesForever_AReadEndsWithTheLimitOfItsThread) {
  Trap trap;
  AttachedServer attached{trap.script({Kind::nothing})};
  std::string flood;
  while (flood.size() < (1 << 20)) {
    flood += "%a#61";
  }
  trap.arm();
  std::jthread sender{[&](const std::stop_token& stop) {
    while (!stop.stop_requested() && !attached.events().gone) {
      attached.server().send(flood);
    }
  }};
  const auto begin = Clock::now();
  {
    const WorkLimit limit{begin + 1s};
    EXPECT_TRUE(attached.read(0x10000, 4096).failure);
  }
  EXPECT_LT(Clock::now() - begin, 10s);
  sender.request_stop();
  attached.detach();
}

TEST(ServerTrap, AnswersEachRegisterLate_AllOfThemHaveALimit) {
  std::string registers;
  for (const char* const name :
       {"rax", "rbx", "rcx", "rdx", "rsi", "rdi", "rbp", "rsp", "r8",  "r9",  "r10", "r11",
        "r12", "r13", "r14", "r15", "rip", "cr0", "cr2", "cr3", "cr4", "cr8", "efer"}) {
    registers += fmt::format(R"(<reg name="{}" bitsize="64"/>)", name);
  }
  Script script = with([](const std::string& request, unsigned) -> std::optional<Answer> {
    if (request == "g") {
      return Answer{Kind::payload, "E01"};
    }
    return request.front() == 'p' ? std::optional{Answer{Kind::payload, std::string(16, '0'), 1000ms}}
                                  : std::nullopt;
  });
  script.descriptions["core.xml"] = "<feature name=\"core\">" + registers + "</feature>";
  AttachedServer attached{std::move(script), ",timeout=2s"};
  const auto begin = Clock::now();
  const auto read = attached.driver().register_reader()->read_vcpu(VcpuId{0});
  ASSERT_FALSE(read.has_value()) << "23 s of replies";
  EXPECT_EQ(read.error().kind, ErrorKind::timed_out) << read.error().message();
  EXPECT_LT(Clock::now() - begin, 20s);
}

TEST(ServerTrap, TargetEnds_EndsTheVm) {
  AttachedServer attached{{}};
  ASSERT_TRUE(attached.control().resume());
  attached.server().stop_target("W00");
  expect_gone(attached);
}

TEST(ServerTrap, TargetHasEnded_AttachFails) {
  Script script;
  script.fixed = {{"?", "W00"}};
  EXPECT_THAT(why_not_attached(std::move(script), "").text, HasSubstr("has ended"));
}

TEST(ServerTrap, HugePacket_EndsTheVm) {
  for (const char end : {'#', '0'}) {
    Trap trap;
    AttachedServer attached{trap.script({Kind::raw, "$" + std::string(1 << 20, '0') + end})};
    trap.arm();
    EXPECT_EQ(attached.read(0x10000, 64).failure, ErrorKind::vm_gone);
    expect_gone(attached);
  }
}

TEST(ServerTrap, RunLengthsThatGetHuge_AreNoBytes) {
  Trap trap;
  std::string bomb = "0";
  for (int i = 0; i < 50'000; ++i) {
    bomb += "*~";
  }
  AttachedServer attached{trap.script({Kind::payload, bomb})};
  trap.arm(1);
  EXPECT_EQ(attached.read(0x10000, 64).failure, ErrorKind::source_failed);
}

TEST(ServerTrap, PacketSizesThatMakeNoSense_AreLimited) {
  for (const char* const size : {"0", "1", "ffffffffffffffff", "x", ""}) {
    Script script;
    script.features = fmt::format("PacketSize={};qXfer:memory-map:read+;qXfer:features:read+", size);
    AttachedServer attached{std::move(script)};
    EXPECT_TRUE(attached.reads_right(0x10000, 0x4000)) << size;
  }
}

TEST(ServerTrap, DescriptionsThatDoNotEnd_AreGivenUp_AndMemoryIsRead) {
  for (const char* const text :
       {R"(<target><xi:include href="target.xml"/></target>)", "<target", "",
        R"(<target><xi:include href="no"/></target>)", R"(<feature><reg name="rax" bitsize="0"/></feature>)",
        R"(<target><xi:include href="a:b,c"/></target>)"}) {
    Script script;
    script.descriptions["target.xml"] = text;
    AttachedServer attached{std::move(script)};
    EXPECT_EQ(attached.driver().register_reader(), nullptr) << text;
    EXPECT_TRUE(attached.reads_right(0x10000, 64)) << text;
  }
  const auto endless = [](const std::string& request, unsigned) {
    return request.starts_with("qXfer:features") ? std::optional{Answer{Kind::payload, "m<target>"}}
                                                 : std::nullopt;
  };
  AttachedServer attached{with(endless)};
  EXPECT_EQ(attached.driver().register_reader(), nullptr);
  EXPECT_TRUE(attached.reads_right(0x10000, 64));
}

TEST(ServerTrap, EndlessThreads_AreGivenUp) {
  Script script;
  script.fixed = {{"qsThreadInfo", "m1"}};
  AttachedServer attached{std::move(script)};
  EXPECT_EQ(attached.driver().vcpus(), VcpuSet::first(2));
}

TEST(ServerTrap, MapsOfTheServerThatMakeNoSense_AreRefused) {
  for (const char* const text :
       {"", "<memory-map/>", R"(<memory-map><memory type="ram" start="0" length="0"/></memory-map>)",
        R"(<memory-map><memory type="x" start="0" length="1"/></memory-map>)",
        R"(<memory-map><memory type="ram" start="0xffffffffffffffff" length="2"/></memory-map>)"}) {
    Script script;
    script.memory_map = text;
    EXPECT_THAT(why_not_attached(std::move(script), "").text, HasSubstr("maps=")) << text;
  }
}

} // namespace
} // namespace vmemfs::gdbstub
