// SPDX-License-Identifier: MIT
// Backing ids between the daemon and the mounter, over the socket that they have.
#include "fs/mounter/backing_message.h"
#include "fs/mounter/backing_requests.h"
#include "fs/mounter/mounter_backing_ids.h"
#include "support/files.h"

#include <array>
#include <cerrno>
#include <chrono>
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <span>
#include <sys/socket.h>
#include <thread>
#include <unistd.h>

namespace vmemfs {
namespace {

using test::TempDir;
using testing::HasSubstr;

struct Sockets {
  Sockets() {
    int ends[2];
    EXPECT_EQ(::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends), 0);
    daemon.reset(ends[0]);
    mounter.reset(ends[1]);
  }
  UniqueFd daemon;
  UniqueFd mounter;
};

UniqueFd open_file(const std::string& path, int flags) {
  return UniqueFd{::open(path.c_str(), flags | O_CLOEXEC, 0600)};
}

/// What the mounter answers.
std::int32_t answer_to(const UniqueFd& device, const UniqueFd& file) {
  const Sockets sockets;
  const BackingRequest request{BackingCommand::open, 9, 0};
  EXPECT_TRUE(send_backing_message(sockets.daemon.get(), std::as_bytes(std::span{&request, 1}),
                                   std::array{device.get(), file.get()}));
  EXPECT_TRUE(carry_out_backing_request(sockets.mounter.get()));
  BackingAnswer answer;
  EXPECT_EQ(::recv(sockets.daemon.get(), &answer, sizeof answer, MSG_DONTWAIT),
            static_cast<ssize_t>(sizeof answer));
  EXPECT_EQ(answer.number, 9U);
  return answer.result;
}

TEST(BackingRequests, OnlyRegularFilesThatAreOpenForReadingAndWriting_ReachTheKernel) {
  const TempDir dir;
  const UniqueFd device = open_file("/dev/fuse", O_RDWR);
  if (!device) {
    GTEST_SKIP() << "takes /dev/fuse";
  }
  const std::string path = dir / "memory";
  const UniqueFd good = open_file(path, O_RDWR | O_CREAT);
  // The device has no mount, which the kernel refuses in its own words.
  EXPECT_NE(answer_to(device, good), -EINVAL);
  EXPECT_LT(answer_to(device, good), 0);
  for (const int flags : {O_RDONLY, O_WRONLY, O_PATH}) {
    EXPECT_EQ(answer_to(device, open_file(path, flags)), -EINVAL) << flags;
  }
  EXPECT_EQ(answer_to(device, open_file("/dev/null", O_RDWR)), -EINVAL);
  EXPECT_EQ(answer_to(good, good), -EINVAL) << "not the device of a mount";
}

TEST(BackingRequests, DaemonHasEndedOrSendsNonsense_Ends) {
  Sockets sockets;
  ASSERT_EQ(::send(sockets.daemon.get(), "x", 1, 0), 1);
  EXPECT_FALSE(carry_out_backing_request(sockets.mounter.get()));
  const BackingRequest unknown{static_cast<BackingCommand>(77), 1, 0};
  ASSERT_EQ(::send(sockets.daemon.get(), &unknown, sizeof unknown, 0), static_cast<ssize_t>(sizeof unknown));
  EXPECT_FALSE(carry_out_backing_request(sockets.mounter.get()));
  const BackingRequest bare{BackingCommand::close, 1, 5}; // without descriptors
  ASSERT_EQ(::send(sockets.daemon.get(), &bare, sizeof bare, 0), static_cast<ssize_t>(sizeof bare));
  EXPECT_TRUE(carry_out_backing_request(sockets.mounter.get()));
  sockets.daemon.reset();
  EXPECT_FALSE(carry_out_backing_request(sockets.mounter.get()));
}

/// A mounter that the test plays.
class MounterBackingIdsTest : public testing::Test {
protected:
  void answer(std::int32_t result, std::uint32_t number_offset = 0) {
    BackingRequest request;
    BackingFds fds;
    ASSERT_EQ(
        receive_backing_message(sockets_.mounter.get(), std::as_writable_bytes(std::span{&request, 1}), fds),
        static_cast<std::ptrdiff_t>(sizeof request));
    EXPECT_TRUE(fds[0] && fds[1]);
    const BackingAnswer answer{request.number - number_offset, result};
    ASSERT_EQ(::send(sockets_.mounter.get(), &answer, sizeof answer, 0), static_cast<ssize_t>(sizeof answer));
  }
  Result<std::int32_t> open(std::int32_t result) {
    std::thread mounter{[&] { answer(result); }};
    auto id = ids_.open(STDIN_FILENO);
    mounter.join();
    return id;
  }

  Sockets sockets_;
  MounterBackingIds ids_{UniqueFd{::dup(sockets_.daemon.get())}, open_file("/dev/null", O_RDWR)};
};

TEST_F(MounterBackingIdsTest, AnsweredWithAnId_IsReturned) {
  EXPECT_EQ(open(3), 3);
  EXPECT_THAT(open(-ELOOP).error().text, HasSubstr("backing file"));
  EXPECT_EQ(open(4), 4) << "that was about one file";
  ids_.close(4);
  BackingRequest request;
  BackingFds fds;
  ASSERT_GT(
      receive_backing_message(sockets_.mounter.get(), std::as_writable_bytes(std::span{&request, 1}), fds),
      0);
  EXPECT_EQ(request.command, BackingCommand::close);
  EXPECT_EQ(request.id, 4);
}

TEST_F(MounterBackingIdsTest, NoRights_IsRememberedWithTheRemedy) {
  EXPECT_EQ(open(-EPERM).error().kind, ErrorKind::permission);
  const auto again = ids_.open(STDIN_FILENO); // nobody answers
  ASSERT_FALSE(again);
  EXPECT_THAT(again.error().text, HasSubstr("mount as root"));
}

TEST_F(MounterBackingIdsTest, NoAnswer_TakesASecondOnce) {
  const auto begin = std::chrono::steady_clock::now();
  EXPECT_EQ(ids_.open(STDIN_FILENO).error().kind, ErrorKind::timed_out);
  EXPECT_LT(std::chrono::steady_clock::now() - begin, std::chrono::seconds{5});
  const auto later = std::chrono::steady_clock::now();
  EXPECT_FALSE(ids_.open(STDIN_FILENO));
  EXPECT_LT(std::chrono::steady_clock::now() - later, std::chrono::milliseconds{500});
}

TEST_F(MounterBackingIdsTest, AnswerToAFormerRequest_IsNotTaken) {
  std::thread mounter{[&] { answer(8, 1); }};
  EXPECT_EQ(ids_.open(STDIN_FILENO).error().kind, ErrorKind::timed_out);
  mounter.join();
}

TEST_F(MounterBackingIdsTest, MounterHasEnded_FailsAtOnce) {
  sockets_.mounter.reset();
  EXPECT_FALSE(ids_.open(STDIN_FILENO));
}

} // namespace
} // namespace vmemfs
