// SPDX-License-Identifier: MIT
#include "drivers/qemu_protocol/qmp_connection.h"
#include "tests/drivers/qemu_protocol/fake_monitor.h"
#include "tests/drivers/qemu_protocol/unix_listener.h"

#include <atomic>
#include <chrono>
#include <filesystem>
#include <fstream>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>
#include <string>
#include <sys/socket.h>
#include <unistd.h>
#include <vector>

namespace vmemfs {
namespace {

using namespace std::chrono_literals;
using nlohmann::json;

QmpConnection::Clock::time_point in(std::chrono::milliseconds time) {
  return QmpConnection::Clock::now() + time;
}

constexpr auto kPlenty = 20s;
constexpr auto kShort = 150ms;

QmpConnection open(const FakeMonitor& monitor) {
  auto connection = QmpConnection::open(monitor.path(), in(kPlenty));
  EXPECT_TRUE(connection) << connection.error().message();
  return std::move(connection.value());
}

/// The error kind of open(), which must fail immediately unless it is a timeout.
ErrorKind open_failure(const std::string& path, std::chrono::milliseconds limit = kPlenty) {
  const auto connection = QmpConnection::open(path, in(limit));
  EXPECT_FALSE(connection);
  return connection ? ErrorKind::invalid : connection.error().kind;
}

TEST(QmpOpen, GreetingAndVersion) {
  const FakeMonitor monitor{[](FakePeer& peer) {
    peer.greet();
    peer.wait_for_end();
  }};
  const QmpConnection connection = open(monitor);
  EXPECT_EQ(connection.qemu_version(), "7.2.22");
  EXPECT_EQ(connection.peer_pid(), ::getpid());
  EXPECT_FALSE(connection.broken());
}

TEST(QmpOpen, LateGreeting_Succeeds) {
  const FakeMonitor monitor{[](FakePeer& peer) {
    std::this_thread::sleep_for(100ms);
    peer.greet();
    peer.wait_for_end();
  }};
  open(monitor);
}

TEST(QmpOpen, NoGreeting_IsBusy) {
  const FakeMonitor monitor{[](FakePeer& peer) { peer.wait_for_end(); }};
  const auto connection = QmpConnection::open(monitor.path(), in(kShort));
  ASSERT_FALSE(connection);
  EXPECT_EQ(connection.error().kind, ErrorKind::busy);
  EXPECT_THAT(connection.error().text, testing::HasSubstr("another client is connected"));
  EXPECT_THAT(connection.error().text, testing::HasSubstr("or this is not a QMP socket"));
  EXPECT_THAT(connection.error().text, testing::HasSubstr("second monitor"));
}

TEST(QmpOpen, FullListenQueue_IsBusy) {
  const test::TempDir directory;
  const UniqueFd listener = listen_at(directory / "qmp");
  std::vector<UniqueFd> clients;
  for (int i = 0; i < 4; ++i) { // more than the listen queue holds; nothing accepts them
    clients.emplace_back(::socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    const std::string path = directory / "qmp";
    path.copy(address.sun_path, path.size());
    static_cast<void>(
        ::connect(clients.back().get(), reinterpret_cast<const sockaddr*>(&address), sizeof(address)));
  }
  EXPECT_EQ(open_failure(directory / "qmp", kShort), ErrorKind::busy);
}

TEST(QmpOpen, NoSocketNoListenerNoPermission_HaveTheirErrors) {
  const test::TempDir directory;
  EXPECT_EQ(open_failure(directory / "missing"), ErrorKind::not_found);
  EXPECT_EQ(open_failure(directory / "no/such/directory"), ErrorKind::not_found);
  std::ofstream{directory / "file"} << "x";
  EXPECT_EQ(open_failure(directory / "file"), ErrorKind::not_found);
  { const UniqueFd gone = listen_at(directory / "stale"); }
  EXPECT_EQ(open_failure(directory / "stale"), ErrorKind::not_found);
  EXPECT_EQ(open_failure(""), ErrorKind::invalid);
  EXPECT_EQ(open_failure(directory / std::string(200, 'x')), ErrorKind::invalid);
}

TEST(QmpOpen, PathThatIsTooLongForASocketAddress) {
  const FakeMonitor monitor{[](FakePeer& peer) {
    peer.greet();
    peer.wait_for_end();
  }};
  std::string path = std::filesystem::path{monitor.path()}.parent_path();
  while (path.size() < 300) {
    path += "/.";
  }
  const auto connection = QmpConnection::open(path + "/qmp", in(kPlenty));
  EXPECT_TRUE(connection) << connection.error().message();
}

TEST(QmpOpen, GarbageInsteadOfAGreeting) {
  for (const std::string text : {"QEMU 7.2.22 monitor - type 'help' for more information\r\n", "\n", "{\n}\n",
                                 "{\n,\n}\n", "[]\n", "{}\n", "\"QMP\"\n", "\xff\xfe\n", "null\n"}) {
    const FakeMonitor monitor{[&](FakePeer& peer) {
      peer.send(text);
      peer.wait_for_end();
    }};
    EXPECT_EQ(open_failure(monitor.path()), ErrorKind::source_failed) << text;
  }
}

TEST(QmpOpen, UnusualVersion_IsAccepted) {
  const FakeMonitor monitor{[](FakePeer& peer) {
    peer.send("{\"QMP\": {\"version\": {\"qemu\": [1]}}}\n");
    peer.answer("{}");
    peer.wait_for_end();
  }};
  EXPECT_EQ(open(monitor).qemu_version(), "unknown");
}

TEST(QmpOpen, ClosedBeforeAndInsideTheGreeting) {
  for (const std::string_view text : {std::string_view{}, FakePeer::kGreeting.substr(0, 20)}) {
    const FakeMonitor monitor{[&](FakePeer& peer) { peer.send(text); }};
    EXPECT_EQ(open_failure(monitor.path()), ErrorKind::source_failed);
  }
}

/// A peer that greets, reads one command and then runs the test's script.
class QmpExecute : public testing::Test {
protected:
  using Reaction = std::function<void(FakePeer&, const std::string& id)>;

  Result<json> execute(Reaction reaction, std::chrono::milliseconds limit = kPlenty) {
    const FakeMonitor monitor{[&](FakePeer& peer) {
      peer.greet();
      const std::string command = peer.read_line();
      reaction(peer, id_of(command));
      peer.wait_for_end();
    }};
    QmpConnection connection = open(monitor);
    connection.set_event_handler([&](const QmpEvent& event) { events_.push_back(event); });
    auto answer = connection.execute("query-x", nullptr, in(limit));
    broken_ = connection.broken();
    return answer;
  }

  ErrorKind failure(Reaction reaction, std::chrono::milliseconds limit = kPlenty) {
    const auto answer = execute(std::move(reaction), limit);
    EXPECT_FALSE(answer);
    return answer ? ErrorKind::invalid : answer.error().kind;
  }

  std::vector<QmpEvent> events_;
  bool broken_ = false;
};

TEST_F(QmpExecute, AnswerInPieces) {
  const auto answer = execute([](FakePeer& peer, const std::string& id) {
    for (const char c : R"({"return": {"a": [1, "\u00e4]{"]}, "id": )" + id + "}\r\n") {
      peer.send({&c, 1});
    }
  });
  ASSERT_TRUE(answer) << answer.error().message();
  EXPECT_EQ(answer->at("a").at(0), 1);
}

/// As QEMU prints it with pretty=on, byte by byte.
TEST_F(QmpExecute, AnswerOverSeveralLines) {
  const auto answer = execute([](FakePeer& peer, const std::string& id) {
    for (const char c : "{\r\n    \"event\": \"STOP\"\r\n}\r\n{\r\n    \"return\": {\r\n        \"a\": [\r\n"
                        "            \"}\",\r\n            1\r\n        ]\r\n    },\r\n    \"id\": " +
                            id + "\r\n}\r\n") {
      peer.send({&c, 1});
    }
  });
  ASSERT_TRUE(answer) << answer.error().message();
  EXPECT_EQ(answer->at("a").at(1), 1);
  ASSERT_EQ(events_.size(), 1U);
  EXPECT_EQ(events_[0].name, "STOP");
}

TEST_F(QmpExecute, MessagesOnOneAndOnSeveralLines_Mixed) {
  const auto answer = execute([](FakePeer& peer, const std::string& id) {
    peer.send("{\"event\": \"A\"}\n{\n\"event\": \"B\"\n}\n{\"event\": \"C\"}\n{\n\"return\": {},\n\"id\": " +
              id + "\n}\n{\"event\": \"D\"}\n");
  });
  ASSERT_TRUE(answer) << answer.error().message();
  EXPECT_EQ(events_.size(), 4U);
}

TEST_F(QmpExecute, SeveralLinesWithoutAnEnd_AreBounded) {
  const auto begin = std::chrono::steady_clock::now();
  EXPECT_EQ(failure([](FakePeer& peer, const std::string&) {
              std::string lines = "{\r\n";
              while (lines.size() < std::size_t{20} << 20) {
                lines += "    }\r\n";
              }
              peer.send(lines);
            }),
            ErrorKind::source_failed);
  EXPECT_TRUE(broken_);
  EXPECT_LT(std::chrono::steady_clock::now() - begin, 60s);
}

TEST_F(QmpExecute, EventsInBetween) {
  const auto answer = execute([](FakePeer& peer, const std::string& id) {
    peer.send(
        "{\"event\": \"STOP\", \"timestamp\": {}}\r\n{\"event\": \"RESET\", \"data\": {\"guest\": false}}\n");
    peer.send("{\"event\": 7}\n{\"return\": {}, \"id\": " + id + "}\n");
  });
  ASSERT_TRUE(answer) << answer.error().message();
  ASSERT_EQ(events_.size(), 2U);
  EXPECT_EQ(events_[0].name, "STOP");
  EXPECT_EQ(events_[0].data, "");
  EXPECT_EQ(events_[1].name, "RESET");
  EXPECT_EQ(events_[1].data, "{\"guest\":false}");
}

TEST_F(QmpExecute, ErrorAnswers) {
  const auto reply = [](const std::string& error) {
    return [error](FakePeer& peer, const std::string& id) {
      peer.send("{\"error\": " + error + ", \"id\": " + id + "}\n");
    };
  };
  EXPECT_EQ(failure(reply(R"({"class": "CommandNotFound", "desc": "no"})")), ErrorKind::unsupported);
  EXPECT_FALSE(broken_);
  EXPECT_EQ(failure(reply(R"({"class": "GenericError", "desc": "no"})")), ErrorKind::source_failed);
  EXPECT_FALSE(broken_);
  EXPECT_EQ(failure(reply("7")), ErrorKind::source_failed);
  const auto answer = execute(reply(R"({"class": "GenericError", "desc": "first\nsecond"})"));
  ASSERT_FALSE(answer);
  EXPECT_THAT(answer.error().text, testing::HasSubstr("'query-x': first\\x0asecond"));
}

TEST_F(QmpExecute, GarbageBreaksTheConnection) {
  for (const std::string text :
       {"garbage\n", "{]\n", "{\"return\": {}}\n", "{\"return\": {}, \"id\": \"x\"}\n",
        "{\"return\": {}, \"id\": 99999}\n", "{\"id\": 2}\n", "\n"}) {
    EXPECT_EQ(failure([&](FakePeer& peer, const std::string&) { peer.send(text); }), ErrorKind::source_failed)
        << text;
    EXPECT_TRUE(broken_) << text;
  }
}

TEST_F(QmpExecute, SilenceAndHalfALine_TimeOut) {
  for (const std::string text : {"", "{\"return\": "}) {
    const auto begin = std::chrono::steady_clock::now();
    EXPECT_EQ(failure([&](FakePeer& peer, const std::string&) { peer.send(text); }, kShort),
              ErrorKind::timed_out);
    EXPECT_LT(std::chrono::steady_clock::now() - begin, 5s);
    EXPECT_FALSE(broken_);
  }
}

TEST_F(QmpExecute, EndlessEvents_TimeOut) {
  const auto begin = std::chrono::steady_clock::now();
  EXPECT_EQ(failure(
                [&](FakePeer& peer, const std::string&) {
                  const std::string event = "{\"event\": \"X\"}\n";
                  while (std::chrono::steady_clock::now() < begin + kShort + 200ms) {
                    peer.send(event);
                  }
                },
                kShort),
            ErrorKind::timed_out);
  EXPECT_LT(std::chrono::steady_clock::now() - begin, 10s);
}

TEST_F(QmpExecute, ClosedInsideAnAnswer) {
  const FakeMonitor monitor{[&](FakePeer& peer) {
    peer.greet();
    peer.read_line();
    peer.send("{\"return\": {");
  }};
  QmpConnection connection = open(monitor);
  const auto answer = connection.execute("query-x", nullptr, in(kPlenty));
  ASSERT_FALSE(answer);
  EXPECT_EQ(answer.error().text, "QEMU closed the monitor");
  EXPECT_TRUE(connection.broken());
  EXPECT_FALSE(connection.execute("query-x", nullptr, in(kPlenty)));
}

TEST_F(QmpExecute, OversizedAnswer) {
  EXPECT_EQ(failure([](FakePeer& peer, const std::string&) {
              const std::string chunk(1 << 20, ' ');
              for (int i = 0; i < 20; ++i) {
                peer.send(chunk);
              }
            }),
            ErrorKind::source_failed);
  EXPECT_TRUE(broken_);
}

TEST_F(QmpExecute, DeeplyNestedAnswer) {
  EXPECT_EQ(failure([](FakePeer& peer, const std::string&) { peer.send(std::string(1 << 20, '[') + "\n"); }),
            ErrorKind::source_failed);
  const auto brackets_in_text = execute([](FakePeer& peer, const std::string& id) {
    peer.send("{\"return\": \"\\\"" + std::string(1000, '[') + "\", \"id\": " + id + "}\n");
  });
  EXPECT_TRUE(brackets_in_text) << brackets_in_text.error().message();
}

TEST_F(QmpExecute, AnswerOfVeryManyValues) {
  std::string values;
  for (unsigned i = 0; i < 300'000; ++i) {
    values += "{},";
  }
  EXPECT_EQ(failure([&](FakePeer& peer, const std::string& id) {
              peer.send("{\"return\": [" + values + "0], \"id\": " + id + "}\n");
            }),
            ErrorKind::source_failed);
  EXPECT_TRUE(broken_);
  const auto commas_in_text = execute([&](FakePeer& peer, const std::string& id) {
    peer.send("{\"return\": \"" + values + "\", \"id\": " + id + "}\n");
  });
  EXPECT_TRUE(commas_in_text) << commas_in_text.error().message();
}

TEST(QmpConnection, LateAnswerIsSkipped) {
  const FakeMonitor monitor{[](FakePeer& peer) {
    peer.greet();
    const std::string first = id_of(peer.read_line());
    const std::string second = id_of(peer.read_line()); // sent after the first one timed out
    peer.send("{\"return\": 1, \"id\": " + first + "}\n{\"return\": 2, \"id\": " + second + "}\n");
    peer.wait_for_end();
  }};
  QmpConnection connection = open(monitor);
  const auto first = connection.execute("query-x", nullptr, in(kShort));
  ASSERT_FALSE(first);
  EXPECT_EQ(first.error().kind, ErrorKind::timed_out);
  const auto second = connection.execute("query-x", nullptr, in(kPlenty));
  ASSERT_TRUE(second) << second.error().message();
  EXPECT_EQ(*second, 2);
}

TEST(QmpConnection, HumanMonitorCommand) {
  const FakeMonitor monitor{[](FakePeer& peer) {
    peer.greet();
    peer.answer("\"a\\r\\nb\"");
    peer.answer("{}");
    peer.wait_for_end();
  }};
  QmpConnection connection = open(monitor);
  EXPECT_EQ(connection.human("info \"x\"", in(kPlenty)), "a\r\nb");
  EXPECT_FALSE(connection.human("info x", in(kPlenty)));
}

TEST(QmpConnection, InvalidUtf8_IsSent) {
  const FakeMonitor monitor{[](FakePeer& peer) {
    peer.greet();
    peer.answer("\"\"");
    peer.wait_for_end();
  }};
  QmpConnection connection = open(monitor);
  EXPECT_TRUE(connection.human("x \xff\xfe", in(kPlenty)));
}

TEST(QmpConnection, EventsAfterTheAnswer_AreDelivered) {
  const FakeMonitor monitor{[](FakePeer& peer) {
    peer.greet();
    const std::string id = id_of(peer.read_line());
    peer.send("{\"return\": {}, \"id\": " + id + "}\n{\"event\": \"STOP\"}\n");
    peer.wait_for_end();
  }};
  QmpConnection connection = open(monitor);
  std::string names;
  connection.set_event_handler([&](const QmpEvent& event) { names += event.name + " "; });
  EXPECT_TRUE(connection.execute("query-x", nullptr, in(kPlenty)));
  EXPECT_EQ(names, "STOP ");
}

TEST(QmpConnection, DrainEvents_DeliversEventsAndReportsTheEnd) {
  const FakeMonitor monitor{[](FakePeer& peer) {
    peer.greet();
    peer.answer("{}");
    peer.send("{\"event\": \"STOP\"}\n{\"event\": \"RESUME\"}\n");
  }};
  QmpConnection connection = open(monitor);
  std::string names;
  connection.set_event_handler([&](const QmpEvent& event) { names += event.name + " "; });
  EXPECT_TRUE(connection.execute("query-x", nullptr, in(kPlenty)));
  while (connection.drain_events()) {
    std::this_thread::sleep_for(1ms);
  }
  EXPECT_EQ(names, "STOP RESUME ");
  EXPECT_TRUE(connection.broken());
}

TEST(QmpConnection, PeerThatReadsNothing) {
  std::atomic<bool> done = false;
  const FakeMonitor monitor{[&](FakePeer& peer) {
    peer.greet();
    done.wait(false);
  }};
  QmpConnection connection = open(monitor);
  const auto answer = connection.human(std::string(8 << 20, 'x'), in(kShort));
  EXPECT_FALSE(answer);
  EXPECT_EQ(answer ? ErrorKind::invalid : answer.error().kind, ErrorKind::timed_out);
  EXPECT_TRUE(connection.broken());
  done = true;
  done.notify_all();
}

} // namespace
} // namespace vmemfs
