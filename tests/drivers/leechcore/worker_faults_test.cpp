// SPDX-License-Identifier: MIT
// A library that crashes, hangs, ends its process, prints or refuses: it takes its VM with it, and nothing
// else.
#include "drivers/leechcore/stand_in.h"
#include "support/child_process.h"
#include "support/event_counts.h"

#include <algorithm>
#include <csignal>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

namespace vmemfs::test {
namespace {

using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;
using testing::SizeIs;

class LeechcoreWorker : public testing::Test {
protected:
  Result<std::unique_ptr<Driver>> open(const std::string& script, const std::string& timeout = "60s") {
    return open_leechcore(leechcore_params(image_.device("fpga", script), "timeout=" + timeout),
                          {watcher_, worker_});
  }
  static ReadPiece read(Driver& driver, std::uint64_t at) {
    std::vector<std::byte> buffer(kPageSize);
    ReadPiece piece{Gpa{at}, buffer, 0, std::nullopt};
    driver.read({&piece, 1});
    return piece;
  }
  static std::vector<pid_t> workers() { return children_of(::getpid(), std::string{kLeechcoreComm}); }

  /// The page at 2 MiB is the end of the VM; another VM of the same mount is not affected.
  void expect_end(const std::string& script, const std::string& timeout) {
    const auto other = open("");
    const auto driver = open(script, timeout);
    ASSERT_TRUE(other.has_value());
    ASSERT_TRUE(driver.has_value()) << driver.error().message();
    EventCounts listener;
    (*driver)->set_listener(&listener);
    EXPECT_FALSE(read(**driver, 0x1ff000).failure);
    const ReadPiece piece = read(**driver, 0x200000);
    EXPECT_EQ(piece.failure, ErrorKind::vm_gone);
    EXPECT_EQ(piece.done, 0U);
    EXPECT_TRUE((*driver)->gone());
    EXPECT_TRUE(eventually([&] { return listener.of(VmEvent::gone) == 1; }));
    EXPECT_EQ(read(**driver, 0x1ff000).failure, ErrorKind::vm_gone);
    (*driver)->set_listener(nullptr);
    EXPECT_FALSE(read(**other, 0x200000).failure);
  }

  LeechcoreImage image_;
  FdWatcher watcher_;
  Worker worker_;
};

TEST_F(LeechcoreWorker, LibraryCrashes_EndsItsVmOnly) { expect_end("crash=0x200000", "60s"); }

TEST_F(LeechcoreWorker, LibraryEndsItsProcess_EndsItsVmOnly) { expect_end("exit=0x200000", "60s"); }

TEST_F(LeechcoreWorker, LibraryHangs_IsKilledAtTheTimeLimit) {
  expect_end("hang=0x200000", "2s");
  EXPECT_TRUE(eventually([] { return workers().empty(); }));
}

TEST_F(LeechcoreWorker, KilledWhileNobodyReads_IsReportedByItself) {
  const auto driver = open("");
  ASSERT_TRUE(driver.has_value());
  EventCounts listener;
  (*driver)->set_listener(&listener);
  ASSERT_THAT(workers(), SizeIs(1));
  ::kill(workers().front(), SIGKILL);
  EXPECT_TRUE(eventually([&] { return listener.of(VmEvent::gone) == 1 && (*driver)->gone(); }));
  (*driver)->set_listener(nullptr);
}

TEST_F(LeechcoreWorker, EndsWithItsVm) {
  auto driver = open("");
  ASSERT_TRUE(driver.has_value());
  ASSERT_THAT(workers(), SizeIs(1));
  driver->reset();
  EXPECT_THAT(workers(), IsEmpty());
}

/// Runs, and is no zombie that nobody has waited for.
bool runs(const std::string& pid) {
  const std::string stat = read_file("/proc/" + pid + "/stat");
  return !stat.empty() && stat.find(") Z ") == std::string::npos;
}

TEST_F(LeechcoreWorker, ProcessesOfTheLibrary_EndWithTheVm) {
  const TempDir dir;
  for (const bool killed : {false, true}) {
    const std::string log = dir / fmt::format("log{}", killed);
    auto driver = open("fork=1,log=" + log);
    ASSERT_TRUE(driver.has_value()) << driver.error().message();
    const std::string line = read_file(log).substr(std::string_view{"child "}.size());
    const std::string child = line.substr(0, line.find('\n'));
    ASSERT_TRUE(runs(child)) << line;
    if (killed) {
      ASSERT_THAT(workers(), SizeIs(1));
      ::kill(workers().front(), SIGKILL);
    }
    driver->reset();
    EXPECT_TRUE(eventually([&] { return !runs(child); })) << "killed: " << killed;
    ::kill(std::stoi(child), SIGKILL);
  }
}

TEST_F(LeechcoreWorker, FailsToOpen_WithTheLibrarysReason) {
  EXPECT_THAT(open("create=refuse").error().text, HasSubstr("no device is connected"));
  EXPECT_THAT(open("create=silent").error().text, HasSubstr("DEVICE: ERROR: cannot open it"));
  EXPECT_THAT(open("create=crash").error().text, HasSubstr("killed by signal 6"));
  EXPECT_THAT(open("create=hang", "1s").error().text, HasSubstr("did not answer within 1000 ms"));
  EXPECT_THAT(workers(), IsEmpty());
}

TEST_F(LeechcoreWorker, LibraryThatCannotBeLoaded_IsNamed) {
  const auto refusal = [this](const std::string& library) {
    const auto driver = open_leechcore(
        fmt::format("library={},device=\"{}\"", library, image_.device("fpga")), {watcher_, worker_});
    return driver ? std::string{} : driver.error().text;
  };
  EXPECT_THAT(refusal("/nowhere/leechcore.so"), HasSubstr("/nowhere/leechcore.so"));
  EXPECT_THAT(refusal(image_.path()), HasSubstr("cannot load the library"));
  EXPECT_THAT(refusal(VMEMFS_LEECHCORE_WITHOUT_COMMAND), HasSubstr("has no function LcCommand"));
}

TEST_F(LeechcoreWorker, DeviceWithATooLongName_IsRefused) {
  const auto driver =
      open_leechcore(leechcore_params(image_.device("fpga", std::string(300, 'x'))), {watcher_, worker_});
  ASSERT_FALSE(driver.has_value());
  EXPECT_THAT(driver.error().text, HasSubstr("LeechCore takes 259"));
}

TEST_F(LeechcoreWorker, ProgramThatIsMissing_IsNamed) {
  DriverContext context{watcher_, worker_};
  context.runtime = std::make_shared<leechcore::LeechcoreRuntime>("/nowhere/vmemfs-leechcore");
  const auto params =
      Params::parse(leechcore_params(image_.device("fpga")), leechcore_driver_type().params());
  const auto driver = leechcore_driver_type().open(*params, context);
  ASSERT_FALSE(driver.has_value());
  EXPECT_THAT(driver.error().text, HasSubstr("/nowhere/vmemfs-leechcore"));
}

/// Programs that are no workers, in place of one that has gone wrong.
TEST_F(LeechcoreWorker, AnswersThatMakeNoSense_AreNotBelieved) {
  const TempDir dir;
  const auto refusal = [&](const std::string& answer) {
    write_file(dir / "worker", "#!/bin/sh\n" + answer);
    EXPECT_EQ(::chmod((dir / "worker").c_str(), 0700), 0);
    DriverContext context{watcher_, worker_};
    context.runtime = std::make_shared<leechcore::LeechcoreRuntime>(dir / "worker");
    const auto params = Params::parse(leechcore_params(image_.device("fpga"), "timeout=10s"),
                                      leechcore_driver_type().params());
    const auto driver = leechcore_driver_type().open(*params, context);
    return driver ? std::string{} : driver.error().text;
  };
  const std::string take = "head -c 1 <&3 >/dev/null\n";
  EXPECT_THAT(refusal("exit 5\n"), HasSubstr("exit code 5"));
  EXPECT_THAT(refusal(take + "printf garbage >&3\nexec sleep 60\n"), HasSubstr("not of this version"));
  EXPECT_THAT(refusal(take + "exec 3>&-\nexec sleep 60\n"), HasSubstr("it closed its socket"));
  // Magic number, flags, a sequence number that nobody asked for, and zeros.
  EXPECT_THAT(refusal(take + "{ printf 'vLR1\\1\\0\\0\\0\\7'; head -c 39 /dev/zero; } | dd bs=48 "
                             "iflag=fullblock status=none >&3\n"
                             "exec sleep 60\n"),
              HasSubstr("wrong sequence number"));
  EXPECT_THAT(workers(), IsEmpty());
}

/// Far more than the pipe takes: nobody waits for it, and this process's own output gets none of it.
TEST_F(LeechcoreWorker, PrintsMuch_GoesToTheLogAndIsLimited) {
  testing::internal::CaptureStderr();
  testing::internal::CaptureStdout();
  {
    const auto driver = open("print=20000");
    ASSERT_TRUE(driver.has_value()) << driver.error().message();
    EXPECT_FALSE(read(**driver, 0x200000).failure);
  }
  const std::string log = testing::internal::GetCapturedStderr();
  EXPECT_THAT(testing::internal::GetCapturedStdout(), IsEmpty());
  EXPECT_THAT(log, HasSubstr("line 0 of the library, with a control character \\x1b"));
  EXPECT_THAT(log, Not(HasSubstr("character \x1b"))) << "none reaches a terminal";
  EXPECT_LT(std::ranges::count(log, '\n'), 200);
}

TEST_F(LeechcoreWorker, StartedByHand_SaysThatItIsInternal) {
  const auto result = run({VMEMFS_LEECHCORE_WORKER});
  EXPECT_NE(result.code, 0);
  EXPECT_THAT(result.text, HasSubstr("is internal"));
}

} // namespace
} // namespace vmemfs::test
