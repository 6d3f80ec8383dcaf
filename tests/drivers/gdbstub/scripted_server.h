// SPDX-License-Identifier: MIT
// Server of GDB's remote protocol for tests: a thread with a small target, which can be made to misbehave. It
// shares no code with the driver.
#pragma once

#include "util/unique_fd.h"

#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

namespace vmemfs::gdbstub {

/// What the server does instead of answering as usual.
struct Answer {
  enum class Kind : unsigned char {
    payload, ///< `text`, in a packet
    raw,     ///< `text`, as it is
    damaged, ///< the usual packet with a wrong checksum; it is right if it has to be sent again
    nothing,
    close, ///< after `text`, in a packet; not sent if empty
    reset, ///< the same, without the kernel's polite end of a connection
  };
  Kind kind = Kind::payload;
  std::string text{};
  std::chrono::milliseconds after{0};
};

struct Script {
  std::string features = "PacketSize=400;qXfer:features:read+;qXfer:memory-map:read+";
  std::map<std::string, std::string> descriptions{
      {"target.xml", R"(<?xml version="1.0"?><!DOCTYPE target SYSTEM "gdb-target.dtd"><target>)"
                     R"(<architecture>i386:x86-64</architecture><xi:include href="core.xml"/></target>)"},
      {"core.xml",
       R"(<feature name="core"><reg name="rax" bitsize="64"/><!-- <reg name="no" bitsize="64"/> -->)"
       R"(<reg name="eflags" bitsize="32"/><reg name="st0" bitsize="80"/>)"
       R"(<reg name="cr3" bitsize="64" regnum="40"/></feature>)"}};
  std::string memory_map =
      R"(<memory-map><memory type="ram" start="0x10000" length="0x40000"/>)"
      R"(<memory type="flash" start="0x100000" length="4096"><property name="x">1</property>)"
      R"(</memory></memory-map>)";
  std::map<std::string, std::string> fixed{}; ///< replies to these requests
  std::uint64_t unreadable = 0;               ///< the page at this address gives an error; 0: none
  std::size_t max_read = SIZE_MAX;            ///< bytes in one reply to m or x
  /// Asked first; nullopt: as usual. The number counts the requests of the connection, from 0.
  std::function<std::optional<Answer>(const std::string& request, unsigned number)> answer{};
};

/// The byte of the target at an address.
[[nodiscard]] std::byte byte_at(std::uint64_t address);

class ScriptedServer {
public:
  explicit ScriptedServer(Script script);
  ~ScriptedServer();
  ScriptedServer(const ScriptedServer&) = delete;
  ScriptedServer& operator=(const ScriptedServer&) = delete;

  [[nodiscard]] std::string address() const; ///< for the parameter
  [[nodiscard]] bool running() const { return running_; }
  [[nodiscard]] std::vector<std::string> requests() const; ///< of all connections, with "<03>" for that byte
  [[nodiscard]] unsigned rejected() const { return rejected_; } ///< how often it was asked to send again
  /// Sends bytes to the connected client.
  void send(std::string_view bytes);
  /// Reports that the target has stopped by itself.
  void stop_target(std::string_view report);

private:
  void serve(const std::stop_token& stop);
  void take(std::string_view bytes);
  void handle(const std::string& request);
  void carry_out(const Answer& answer, const std::string& request);
  void end(bool politely);
  [[nodiscard]] std::string usual_reply(const std::string& request, bool& silent);
  [[nodiscard]] std::string object(const std::string& request) const;
  [[nodiscard]] std::string memory(const std::string& request) const;

  const Script script_;
  UniqueFd listener_;
  unsigned port_ = 0;
  std::atomic<bool> running_{false};
  std::atomic<unsigned> rejected_{0};
  std::mutex client_mutex_; ///< held while something is sent
  std::atomic<int> client_{-1};
  mutable std::mutex mutex_;
  std::vector<std::string> requests_;
  std::string buffer_;
  std::string last_;
  unsigned number_ = 0;
  bool acknowledges_ = true;
  std::jthread thread_;
};

[[nodiscard]] std::string framed(std::string_view payload);

} // namespace vmemfs::gdbstub
