// SPDX-License-Identifier: MIT
// `.vmemfs/events` and `.vmemfs/stats` from outside.
#include "support/mount.h"
#include "support/qemu_guest.h"
#include "util/unique_fd.h"

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <fcntl.h>
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <map>
#include <nlohmann/json.hpp>
#include <poll.h>
#include <regex>
#include <sstream>
#include <sys/epoll.h>
#include <sys/stat.h>
#include <thread>
#include <unistd.h>
#include <vector>

namespace vmemfs::test {
namespace {

using namespace std::chrono_literals;
using nlohmann::json;
using testing::ElementsAre;
using testing::HasSubstr;

class Reader {
public:
  /// Of the events from now on.
  explicit Reader(const Mount& mount)
      : fd_{::open((mount / ".vmemfs/events").c_str(), O_RDONLY | O_CLOEXEC)} {
    char byte = 0;
    EXPECT_GE(::lseek(fd_.get(), 0, SEEK_END), 0);
    EXPECT_EQ(::read(fd_.get(), &byte, 1), 0);
  }

  [[nodiscard]] int fd() const { return fd_.get(); }
  [[nodiscard]] bool readable(std::chrono::milliseconds limit) const {
    pollfd wait{fd_.get(), POLLIN, 0};
    return ::poll(&wait, 1, static_cast<int>(limit.count())) == 1 && (wait.revents & POLLIN) != 0;
  }
  /// "vm event detail" of each of the next lines.
  std::vector<std::string> next(std::size_t count) {
    std::vector<std::string> events;
    while (events.size() < count) {
      const std::size_t end = text_.find('\n');
      if (end == std::string::npos) {
        std::array<char, 4096> bytes{};
        if (!readable(20s)) {
          events.emplace_back("nothing came");
          break;
        }
        const ssize_t got = ::read(fd_.get(), bytes.data(), bytes.size());
        if (got <= 0) {
          events.push_back(fmt::format("read: {}", got));
          break;
        }
        text_.append(bytes.data(), static_cast<std::size_t>(got));
        continue;
      }
      const json line = json::parse(text_.substr(0, end));
      text_.erase(0, end + 1);
      EXPECT_TRUE(std::regex_match(line["time"].get<std::string>(),
                                   std::regex{R"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z)"}));
      events.push_back(fmt::format("{} {} {}", line["vm"].get<std::string>(),
                                   line["event"].get<std::string>(), line["detail"].get<std::string>()));
    }
    return events;
  }

private:
  UniqueFd fd_;
  std::string text_;
};

class EventsOfFake : public testing::Test {
protected:
  void control(const std::string& command) const {
    EXPECT_EQ(try_write(mount_ / "vm/control", command), 0) << command;
  }

  Mount mount_{{"--vm", "vm=fake:size=16M"}};
};

TEST_F(EventsOfFake, Events_ReachEveryReaderInOrder) {
  Reader one{mount_};
  Reader other{mount_};
  control("pause\n");
  control("pause\n"); // it is paused already
  control("resume\n");
  EXPECT_EQ(try_write(mount_ / ".vmemfs/control", "attach b=fake:size=1M\ndetach b\n"), 0);
  for (Reader* const reader : {&one, &other}) {
    EXPECT_THAT(reader->next(4),
                ElementsAre("vm paused by us", "vm resumed by us", "b added fake", "b removed detached"));
  }
  EXPECT_FALSE(one.readable(50ms));
}

/// As for programs that copy or search the whole mount.
TEST_F(EventsOfFake, Read_GivesAllThereIsAndEnds) {
  control("pause\n");
  const std::string path = mount_ / ".vmemfs/events";
  const std::string text = read_file(path);
  EXPECT_THAT(text,
              testing::AllOf(HasSubstr("\"added\""), HasSubstr("\"paused\""), testing::EndsWith("}\n")));
  struct stat status {};
  ASSERT_EQ(::stat(path.c_str(), &status), 0);
  EXPECT_EQ(status.st_size, static_cast<off_t>(text.size()));
  EXPECT_EQ(read_file(path), text);
}

TEST_F(EventsOfFake, TailF_Follows) {
  const TempDir dir;
  const ChildProcess tail{{"tail", "-n", "+1", "-s", "0.1", "-f", mount_ / ".vmemfs/events"}, dir / "out"};
  ASSERT_TRUE(eventually([&] { return read_file(dir / "out").find("\"added\"") != std::string::npos; }));
  control("pause\nresume\n");
  ASSERT_TRUE(eventually([&] { return read_file(dir / "out") == read_file(mount_ / ".vmemfs/events"); }));
  EXPECT_THAT(read_file(dir / "out"), HasSubstr("resumed"));
}

TEST_F(EventsOfFake, Epoll_WakesUp) {
  Reader reader{mount_};
  const UniqueFd epoll{::epoll_create1(EPOLL_CLOEXEC)};
  epoll_event event{EPOLLIN, {}};
  ASSERT_EQ(::epoll_ctl(epoll.get(), EPOLL_CTL_ADD, reader.fd(), &event), 0);
  EXPECT_EQ(::epoll_wait(epoll.get(), &event, 1, 50), 0);
  std::jthread later{[this] {
    std::this_thread::sleep_for(200ms);
    control("pause\n");
  }};
  EXPECT_EQ(::epoll_wait(epoll.get(), &event, 1, 10000), 1);
  EXPECT_THAT(reader.next(1), ElementsAre("vm paused by us"));
}

TEST_F(EventsOfFake, ManyPollingReaders_DoNotBlockTheMountAndEndWithIt) {
  constexpr int kReaders = 150; // more than the session has threads
  std::atomic<int> ended{0};
  std::vector<std::jthread> threads;
  std::vector<Reader> readers;
  for (int i = 0; i < kReaders; ++i) {
    readers.emplace_back(mount_);
  }
  for (const Reader& reader : readers) {
    threads.emplace_back([&reader, &ended] { ended += reader.readable(20s) ? 1 : 0; });
  }
  std::this_thread::sleep_for(300ms);
  EXPECT_EQ(ended, 0);
  const UniqueFd memory{::open((mount_ / "vm/mem").c_str(), O_RDONLY | O_CLOEXEC)};
  EXPECT_EQ(pread_at(memory.get(), 0, 4096).bytes.size(), 4096U);
  control("pause\n");
  threads.clear();
  EXPECT_EQ(ended, kReaders);
  mount_.daemon().signal(SIGTERM); // the open files do not keep it
  EXPECT_TRUE(mount_.daemon().wait(10s));
}

/// After `umount -l`, `tail -f` must not keep the daemon, and with it guests that are paused.
TEST_F(EventsOfFake, OpenEvents_DoNotKeepALazyUnmount) {
  const Reader reader{mount_};
  ASSERT_EQ(run({"umount", "-l", mount_.path()}).code, 0);
  EXPECT_TRUE(mount_.daemon().wait(10s));
}

TEST_F(EventsOfFake, SlowReader_GetsTheNumberOfLostEvents) {
  Reader slow{mount_};
  constexpr int kPairs = 2100; // 4200 events; 4096 are kept
  const UniqueFd control_file{::open((mount_ / "vm/control").c_str(), O_WRONLY | O_CLOEXEC)};
  for (int i = 0; i < kPairs; ++i) {
    ASSERT_EQ(::pwrite(control_file.get(), "pause\nresume\n", 13, 0), 13);
  }
  EXPECT_THAT(slow.next(2), ElementsAre(" missed 104 events", "vm paused by us"));
}

TEST(Events, ForeignPauses_AreReported) {
  QemuGuest guest{{}};
  const Mount mount{{"--vm", fmt::format("vm=qemu:qmp={},keep=on", guest.driver_socket())}};
  Reader reader{mount};
  // A pause is an event if the VM was known to run.
  ASSERT_TRUE(
      eventually([&] { return read_file(mount / "vm/control").find("state running") != std::string::npos; }));
  guest.pause();
  EXPECT_THAT(reader.next(1), ElementsAre("vm paused by somebody else"));
  guest.resume();
  EXPECT_THAT(reader.next(1), ElementsAre("vm resumed by somebody else"));
  EXPECT_EQ(try_write(mount / "vm/control", "pause\nresume\n"), 0);
  EXPECT_THAT(reader.next(2), ElementsAre("vm paused by us", "vm resumed by us"));
  guest.process().signal(SIGKILL);
  EXPECT_THAT(reader.next(1), ElementsAre("vm removed the VM has ended"));
}

/// Prometheus text format: every line is a comment of a known form or NAME{LABELS} VALUE.
std::map<std::string, double> parse_stats(const std::string& text) {
  const std::regex sample{
      R"re(([a-zA-Z_:][a-zA-Z0-9_:]*(\{[a-z_]+="(\\.|[^"\\])*"(,[a-z_]+="(\\.|[^"\\])*")*\})?) ([-+0-9.eE]+|\+Inf|NaN))re"};
  const std::regex comment{R"re(# *|# (HELP [a-z_:]+ .*|TYPE [a-z_:]+ (counter|gauge|histogram)))re"};
  std::map<std::string, double> values;
  std::istringstream lines{text};
  for (std::string line; std::getline(lines, line);) {
    std::smatch match;
    if (std::regex_match(line, match, sample)) {
      EXPECT_TRUE(values.emplace(match[1], std::stod(match[6])).second) << "twice: " << line;
    } else {
      EXPECT_TRUE(std::regex_match(line, comment)) << line;
    }
  }
  return values;
}

TEST(Stats, Counters_MatchTheOperations) {
  const Mount mount{{"--vm", "a \"b\\=fake:size=1M", "--writable"}};
  const std::string labels = R"({vm="a \"b\\",driver="fake"})";
  auto before = parse_stats(read_file(mount / ".vmemfs/stats"));
  EXPECT_EQ(before["vmemfs_vms"], 1);
  {
    const UniqueFd memory{::open((mount / "a \"b\\/mem").c_str(), O_RDWR | O_CLOEXEC)};
    EXPECT_EQ(pread_at(memory.get(), 0, 10000).bytes.size(), 10000U);
    EXPECT_EQ(::pwrite(memory.get(), "12345678", 8, 0x1000), 8);
  }
  EXPECT_EQ(try_write(mount / "a \"b\\/control", "pause\nresume\n"), 0);
  auto after = parse_stats(read_file(mount / ".vmemfs/stats"));
  EXPECT_EQ(after["vmemfs_read_bytes_total" + labels] - before["vmemfs_read_bytes_total" + labels], 10000);
  EXPECT_EQ(after["vmemfs_written_bytes_total" + labels] - before["vmemfs_written_bytes_total" + labels], 8);
  EXPECT_GT(after["process_resident_memory_bytes"], 1e6);
  EXPECT_EQ(after[R"(vmemfs_events_total{event="paused"})"], 1);
}

} // namespace
} // namespace vmemfs::test
