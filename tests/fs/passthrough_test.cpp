// SPDX-License-Identifier: MIT
#include "fs/fuse/passthrough.h"
#include "support/files.h"
#include "support/recording_reply.h"

#include <array>
#include <cerrno>
#include <cstring>
#include <fcntl.h>
#include <functional>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <linux/fuse.h>
#include <memory>
#include <string>
#include <utility>
#include <vector>

namespace vmemfs {
namespace {

using test::TempDir;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

constexpr Ino kIno = 7;

/// Gives out 1, 2 and so on.
class NotedIds : public BackingIds {
public:
  Result<std::int32_t> open(int /*file*/) override {
    if (refuses) {
      return fail(ErrorKind::permission, "mount", "only root may");
    }
    if (opened) {
      opened();
    }
    return ++last;
  }
  void close(std::int32_t id) override { closed.push_back(id); }

  bool refuses = false;
  std::function<void()> opened; ///< called at each
  std::int32_t last = 0;
  std::vector<std::int32_t> closed;
};

class BackedFile : public OpenFile {
public:
  explicit BackedFile(std::string path) : path_{std::move(path)} {}

  void read(Reply& reply, const ReadRequest& /*request*/) override { reply.text(""); }
  Result<UniqueFd> open_backing() override {
    if (gone) {
      return fail(ErrorKind::vm_gone, "vmm", "the VM has ended");
    }
    UniqueFd fd{::open(path_.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600)};
    return fd ? Result<UniqueFd>{std::move(fd)} : fail(ErrorKind::unsupported, "vmm", "it is private");
  }
  void note_service(const std::string& text) override { service = text; }

  std::string service;
  bool gone = false;

private:
  const std::string path_;
};

class PassthroughTest : public testing::Test {
protected:
  PassthroughTest() {
    auto ids = std::make_unique<NotedIds>();
    ids_ = ids.get();
    passthrough_.use(std::move(ids));
  }
  Result<Passthrough::Opened> open(int flags, bool granted = true) {
    return passthrough_.open(kIno, flags, file_, granted);
  }

  static bool replaced(const Result<Passthrough::Opened>& opened) {
    EXPECT_TRUE(opened) << opened.error().text;
    return opened && opened->replaced;
  }

  TempDir dir_;
  BackedFile file_{dir_ / "memory"};
  Passthrough passthrough_;
  NotedIds* ids_;
};

TEST_F(PassthroughTest, Readers_ShareOneIdUntilTheLastIsClosed) {
  auto first = open(O_RDONLY);
  auto second = open(O_RDONLY);
  ASSERT_TRUE(first && second);
  EXPECT_EQ(file_.service, "passthrough");
  EXPECT_EQ(first->backing_id, 1);
  EXPECT_EQ(second->backing_id, 1);
  EXPECT_FALSE(first->direct_io);
  first->lease = {};
  EXPECT_THAT(ids_->closed, IsEmpty());
  second->lease = {};
  EXPECT_THAT(ids_->closed, ElementsAre(1));
  EXPECT_EQ(open(O_RDONLY)->backing_id, 2);
}

TEST_F(PassthroughTest, VmEndsWhileAFileIsOpen_LaterOnesSaySo) {
  auto first = open(O_RDONLY);
  ASSERT_TRUE(first.has_value());
  file_.gone = true;
  const auto second = open(O_RDONLY);
  ASSERT_FALSE(second.has_value());
  EXPECT_EQ(second.error().kind, ErrorKind::vm_gone);
}

TEST_F(PassthroughTest, VmEndsWhileTheFirstFileIsOpened_NothingIsKept) {
  ids_->opened = [this] { file_.gone = true; };
  EXPECT_EQ(open(O_RDONLY).error().kind, ErrorKind::vm_gone);
  EXPECT_THAT(ids_->closed, ElementsAre(1));
}

TEST_F(PassthroughTest, WriterBesideReaders_WritesAreRequestsAndItCannotBeMapped) {
  const auto reader = open(O_RDONLY);
  const auto writer = open(O_WRONLY);
  ASSERT_TRUE(writer);
  EXPECT_EQ(writer->backing_id, 1) << "else the kernel refuses it";
  EXPECT_TRUE(writer->direct_io);
  const auto both = open(O_RDWR);
  ASSERT_FALSE(both.has_value());
  EXPECT_EQ(both.error().kind, ErrorKind::busy);
  EXPECT_THAT(both.error().text, HasSubstr("open it for writing only"));
}

TEST_F(PassthroughTest, ReaderBesideWriter_IsServedByRequests) {
  for (const int flags : {O_WRONLY, O_RDWR}) {
    {
      const auto writer = open(flags);
      ASSERT_TRUE(writer);
      EXPECT_EQ(writer->backing_id, 0);
      EXPECT_EQ(file_.service, "requests: the file was opened for writing");
      const auto reader = open(O_RDONLY);
      ASSERT_TRUE(reader);
      EXPECT_EQ(reader->backing_id, 0);
      EXPECT_TRUE(reader->direct_io);
      EXPECT_EQ(file_.service,
                "requests: somebody has the file open for writing; open it again when nobody has");
    }
    EXPECT_EQ(open(O_RDONLY)->backing_id, ids_->last) << "none is open any more";
  }
}

TEST_F(PassthroughTest, NotPossible_ServedByRequestsWithTheReason) {
  EXPECT_EQ(open(O_RDONLY, false)->backing_id, 0);
  EXPECT_THAT(file_.service, HasSubstr("requests: the kernel"));
  ids_->refuses = true;
  EXPECT_EQ(open(O_RDONLY)->backing_id, 0);
  EXPECT_EQ(file_.service, "requests: only root may");
  BackedFile unbacked{"/nowhere/memory"};
  EXPECT_EQ(passthrough_.open(kIno + 1, O_RDONLY, unbacked, true)->backing_id, 0);
  EXPECT_EQ(unbacked.service, "requests: it is private");
  EXPECT_THAT(ids_->closed, IsEmpty());
}

TEST_F(PassthroughTest, NotPossible_LaterFilesHaveTheSameReason) {
  ids_->refuses = true;
  const auto first = open(O_RDONLY);
  file_.service.clear();
  const auto second = open(O_RDONLY);
  EXPECT_EQ(file_.service, "requests: only root may");
  const auto writer = open(O_WRONLY);
  EXPECT_EQ(file_.service, "requests: the file was opened for writing");
  const auto third = open(O_RDONLY);
  EXPECT_EQ(file_.service, "requests: only root may");
}

TEST_F(PassthroughTest, OtherBackingFile_TakesAnotherInodeUntilTheFirstIsClosed) {
  BackedFile other{dir_ / "other"};
  BackedFile unbacked{"/nowhere/memory"};
  {
    const auto before = open(O_RDONLY);
    for (const int flags : {O_RDONLY, O_WRONLY, O_RDWR}) {
      EXPECT_TRUE(replaced(passthrough_.open(kIno, flags, other, true))) << flags;
      EXPECT_TRUE(replaced(passthrough_.open(kIno, flags, unbacked, true))) << flags;
      EXPECT_FALSE(replaced(passthrough_.open(kIno + 1, flags, other, true))) << flags;
    }
    EXPECT_EQ(open(O_RDONLY)->backing_id, 1) << "of the first file there may be more";
  }
  EXPECT_THAT(ids_->closed, ElementsAre(2, 1));
  EXPECT_EQ(passthrough_.open(kIno, O_RDONLY, other, true)->backing_id, 3);
}

/// An answer as libfuse makes it.
struct Answer {
  fuse_out_header header{};
  fuse_open_out open{.fh = 0x1234, .open_flags = 0, .padding = 0};

  void pass() {
    const std::array pieces{iovec{&header, sizeof header}, iovec{&open, sizeof open}};
    OpenAnswer::complete(pieces);
  }
  [[nodiscard]] std::uint32_t id() const {
    std::uint32_t last = 0;
    std::memcpy(&last, reinterpret_cast<const char*>(&open) + sizeof open - sizeof last, sizeof last);
    return last;
  }
};

TEST(OpenAnswerTest, OnlyWhileItExists_AndOnlySuccess) {
  Answer before;
  before.pass();
  EXPECT_EQ(before.id(), 0U);
  {
    const OpenAnswer scope{5};
    Answer answer;
    answer.pass();
    EXPECT_EQ(answer.id(), 5U);
    EXPECT_EQ(answer.open.open_flags, 1U << 7U);
    EXPECT_EQ(answer.open.fh, 0x1234U);
    Answer failed;
    failed.header.error = -ENOENT;
    failed.pass();
    EXPECT_EQ(failed.id(), 0U);
  }
  Answer after;
  after.pass();
  EXPECT_EQ(after.id(), 0U);
}

} // namespace
} // namespace vmemfs
