// SPDX-License-Identifier: MIT
#include "tests/drivers/gdbstub/scripted_server.h"

#include "support/free_port.h"

#include <algorithm>
#include <array>
#include <cstdlib>
#include <fmt/format.h>
#include <poll.h>
#include <stdexcept>
#include <sys/socket.h>
#include <utility>

namespace vmemfs::gdbstub {
namespace {

constexpr std::uint64_t kBegin = 0x10000;
constexpr std::uint64_t kEnd = 0x50000;
constexpr std::uint64_t kFlash = 0x100000;
constexpr std::uint64_t kPage = 4096;

bool has_memory(std::uint64_t address) {
  return (address >= kBegin && address < kEnd) || (address >= kFlash && address < kFlash + kPage);
}

std::string hex(std::string_view bytes) {
  std::string text;
  for (const char c : bytes) {
    text += fmt::format("{:02x}", static_cast<unsigned char>(c));
  }
  return text;
}

std::string escaped(std::string_view bytes) {
  std::string text;
  for (const char c : bytes) {
    if (c == '$' || c == '#' || c == '}' || c == '*') {
      text += '}';
      text += static_cast<char>(c ^ 0x20);
    } else {
      text += c;
    }
  }
  return text;
}

} // namespace

std::byte byte_at(std::uint64_t address) { return static_cast<std::byte>(address * 7 + address / 256); }

std::string framed(std::string_view payload) {
  unsigned sum = 0;
  for (const char c : payload) {
    sum += static_cast<unsigned char>(c);
  }
  return fmt::format("${}#{:02x}", payload, sum & 0xffU);
}

ScriptedServer::ScriptedServer(Script script) : script_{std::move(script)} {
  auto bound = test::bind_to_free_port();
  listener_ = std::move(bound.socket);
  port_ = bound.port;
  if (::listen(listener_.get(), 4) != 0) {
    throw std::runtime_error{"cannot listen"};
  }
  thread_ = std::jthread{[this](const std::stop_token& stop) { serve(stop); }};
}

ScriptedServer::~ScriptedServer() {
  thread_.request_stop();
  thread_.join();
}

std::string ScriptedServer::address() const { return fmt::format("127.0.0.1:{}", port_); }

std::vector<std::string> ScriptedServer::requests() const {
  const std::lock_guard lock{mutex_};
  return requests_;
}

void ScriptedServer::send(std::string_view bytes) {
  const std::lock_guard lock{client_mutex_}; // the socket stays open meanwhile
  const int client = client_;
  while (client >= 0 && !bytes.empty()) {
    const ssize_t sent = ::send(client, bytes.data(), bytes.size(), MSG_NOSIGNAL);
    if (sent <= 0) {
      return;
    }
    bytes.remove_prefix(static_cast<std::size_t>(sent));
  }
}

void ScriptedServer::stop_target(std::string_view report) {
  running_ = false;
  send(framed(report));
}

void ScriptedServer::serve(const std::stop_token& stop) {
  UniqueFd client;
  while (!stop.stop_requested()) {
    client_ = client.get();
    pollfd entry{client ? client.get() : listener_.get(), POLLIN, 0};
    if (::poll(&entry, 1, 20) <= 0) {
      continue;
    }
    if (!client) {
      client = UniqueFd{::accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC)};
      buffer_.clear();
      number_ = 0;
      acknowledges_ = true;
      running_ = false;
      continue;
    }
    std::array<char, 4096> bytes{};
    const ssize_t got = ::recv(client.get(), bytes.data(), bytes.size(), 0);
    if (got > 0) {
      take({bytes.data(), static_cast<std::size_t>(got)});
    }
    if (got <= 0 || client_ < 0) {
      const std::lock_guard lock{client_mutex_};
      client_ = -1;
      client.reset();
    }
  }
  const std::lock_guard lock{client_mutex_};
  client_ = -1;
}

void ScriptedServer::take(std::string_view bytes) {
  buffer_ += bytes;
  while (!buffer_.empty() && client_ >= 0) {
    if (buffer_.front() == '\x03') {
      buffer_.erase(0, 1);
      handle("<03>");
    } else if (buffer_.front() != '$') {
      if (buffer_.front() == '-') {
        ++rejected_;
        send(last_);
      }
      buffer_.erase(0, 1);
    } else {
      const std::size_t hash = buffer_.find('#');
      if (hash == std::string::npos || buffer_.size() < hash + 3) {
        return;
      }
      const std::string request = buffer_.substr(1, hash - 1);
      buffer_.erase(0, hash + 3);
      if (acknowledges_) {
        send("+");
      }
      handle(request);
    }
  }
}

void ScriptedServer::handle(const std::string& request) {
  {
    const std::lock_guard lock{mutex_};
    requests_.push_back(request);
  }
  const unsigned number = number_++;
  if (script_.answer) {
    if (const auto answer = script_.answer(request, number)) {
      carry_out(*answer, request);
      return;
    }
  }
  bool silent = false;
  const std::string reply = usual_reply(request, silent);
  if (!silent) {
    last_ = framed(reply);
    send(last_);
  }
  if (request == "QStartNoAckMode" && reply == "OK") {
    acknowledges_ = false;
  }
}

void ScriptedServer::carry_out(const Answer& answer, const std::string& request) {
  bool silent = false;
  std::this_thread::sleep_for(answer.after);
  switch (answer.kind) {
  case Answer::Kind::payload:
    last_ = framed(answer.text);
    send(last_);
    break;
  case Answer::Kind::raw: send(answer.text); break;
  case Answer::Kind::damaged:
    last_ = framed(usual_reply(request, silent));
    send(last_.substr(0, last_.size() - 2) + (last_.ends_with("00") ? "01" : "00"));
    break;
  case Answer::Kind::nothing: break;
  case Answer::Kind::close:
  case Answer::Kind::reset:
    if (!answer.text.empty()) {
      send(framed(answer.text));
    }
    end(answer.kind == Answer::Kind::close);
    break;
  }
}

void ScriptedServer::end(bool politely) {
  if (!politely) {
    const linger at_once{1, 0};
    static_cast<void>(::setsockopt(client_, SOL_SOCKET, SO_LINGER, &at_once, sizeof(at_once)));
  }
  client_ = -1;
}

std::string ScriptedServer::object(const std::string& request) const {
  const bool map = request.starts_with("qXfer:memory-map:read:");
  const std::size_t begin = request.find("read:") + 5;
  const std::size_t colon = request.find(':', begin);
  const std::string annex = request.substr(begin, colon - begin);
  if (!map && !script_.descriptions.contains(annex)) {
    return "E00";
  }
  const std::string& text = map ? script_.memory_map : script_.descriptions.at(annex);
  char* end = nullptr;
  const std::size_t offset = std::strtoull(request.c_str() + colon + 1, &end, 16);
  const std::size_t size = std::strtoull(end + 1, nullptr, 16);
  const std::string part = text.substr(std::min(offset, text.size()), size);
  return (offset + part.size() < text.size() ? 'm' : 'l') + escaped(part);
}

std::string ScriptedServer::memory(const std::string& request) const {
  char* end = nullptr;
  const std::uint64_t address = std::strtoull(request.c_str() + 1, &end, 16);
  const std::uint64_t size = std::strtoull(end + 1, nullptr, 16);
  std::string bytes;
  for (std::uint64_t at = address; at < address + size && bytes.size() < script_.max_read; ++at) {
    if (!has_memory(at) || (script_.unreadable != 0 && at / kPage == script_.unreadable / kPage)) {
      return "E14";
    }
    bytes += static_cast<char>(byte_at(at));
  }
  return request.front() == 'x' ? "b" + escaped(bytes) : hex(bytes);
}

std::string ScriptedServer::usual_reply(const std::string& request, bool& silent) {
  if (const auto fixed = script_.fixed.find(request); fixed != script_.fixed.end()) {
    return fixed->second;
  }
  if (request.starts_with("qSupported")) {
    return script_.features;
  }
  if (request.starts_with("qXfer:")) {
    return object(request);
  }
  if (request.starts_with('m') ||
      (request.starts_with('x') && script_.features.find("binary-upload+") != std::string::npos)) {
    return memory(request);
  }
  if (request == "vCont;c" || request == "c") {
    running_ = true;
    silent = true;
    return {};
  }
  if (request == "<03>") {
    silent = !running_;
    running_ = false;
    return "T02thread:1;";
  }
  static const std::map<std::string, std::string> kReplies{{"QStartNoAckMode", "OK"},
                                                           {"qC", "QC1"},
                                                           {"?", "T05thread:1;"},
                                                           {"vCont?", "vCont;c;C;s;S"},
                                                           {"qfThreadInfo", "m1,2"},
                                                           {"qsThreadInfo", "l"},
                                                           {"Hg1", "OK"},
                                                           {"Hg2", "OK"},
                                                           {"Hg0", "OK"},
                                                           {"D", "OK"},
                                                           {"g", "8877665544332211"
                                                                 "46020000"
                                                                 "xxxxxxxxxxxxxxxxxxxx"},
                                                           {"p28", "0030000000000000"}};
  const auto known = kReplies.find(request);
  return known != kReplies.end() ? known->second : std::string{};
}

} // namespace vmemfs::gdbstub
