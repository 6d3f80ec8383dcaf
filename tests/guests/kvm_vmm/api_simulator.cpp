// SPDX-License-Identifier: MIT
#include "guests/kvm_vmm/api_simulator.h"

#include "guests/kvm_vmm/vcpu.h"

#include <array>
#include <string_view>
#include <sys/socket.h>
#include <sys/un.h>
#include <thread>
#include <unistd.h>
#include <utility>

namespace vmemfs::test::kvm_vmm {
namespace {

std::string reply(std::string_view status, std::string_view body = {}) {
  std::string text = "HTTP/1.1 " + std::string{status} + "\r\nServer: test API\r\nConnection: keep-alive\r\n";
  if (!body.empty()) {
    text += "Content-Type: application/json\r\nContent-Length: " + std::to_string(body.size()) + "\r\n";
  }
  return text + "\r\n" + std::string{body};
}

class Api {
public:
  Api(bool is_firecracker, std::function<void(bool)> stop)
      : is_firecracker_{is_firecracker}, stop_{std::move(stop)} {}

  [[noreturn]] void serve(int listener) {
    for (;;) {
      const int client = checked(::accept4(listener, nullptr, nullptr, SOCK_CLOEXEC), "accept");
      for (std::string bytes; receive(client, bytes);) {
        const std::string answer = is_firecracker_ ? firecracker(bytes) : cloud_hypervisor(bytes);
        static_cast<void>(!::send(client, answer.data(), answer.size(), MSG_NOSIGNAL));
        bytes.clear();
      }
      ::close(client);
    }
  }

private:
  /// A whole request; false if the client has gone.
  static bool receive(int client, std::string& bytes) {
    std::array<char, 4096> chunk{};
    for (;;) {
      const std::size_t end = bytes.find("\r\n\r\n");
      const std::size_t at = bytes.find("Content-Length: ");
      const std::size_t size = at < end ? std::stoul(bytes.substr(at + 16)) : 0;
      if (end != std::string::npos && bytes.size() >= end + 4 + size) {
        return true;
      }
      const ssize_t got = ::recv(client, chunk.data(), chunk.size(), 0);
      if (got <= 0) {
        return false;
      }
      bytes.append(chunk.data(), static_cast<std::size_t>(got));
    }
  }

  void stop(bool stopped) {
    stop_(stopped);
    stopped_ = stopped;
  }

  std::string firecracker(std::string_view request) {
    if (request.starts_with("GET / ")) {
      return reply("200", R"({"id":"web01","state":")" + std::string{stopped_ ? "Paused" : "Running"} +
                              R"(","vmm_version":"1.16.1","app_name":"Firecracker"})");
    }
    if (request.starts_with("PATCH /vm ")) {
      stop(request.find(R"("Paused")") != std::string_view::npos);
      return reply("204");
    }
    return reply("400", R"({"fault_message":"Invalid request method and/or path."})");
  }

  std::string cloud_hypervisor(std::string_view request) {
    if (request.starts_with("GET /api/v1/vmm.ping ")) {
      return reply("200", R"({"build_version":"v54.0.0","version":"54.0.0","pid":1,"features":["kvm"]})");
    }
    if (request.starts_with("GET /api/v1/vm.info ")) {
      return reply("200", R"({"config":{},"state":")" + std::string{stopped_ ? "Paused" : "Running"} +
                              R"(","memory_actual_size":536870912})");
    }
    const bool pause = request.starts_with("PUT /api/v1/vm.pause ");
    if (pause || request.starts_with("PUT /api/v1/vm.resume ")) {
      if (pause == stopped_) {
        return reply("500", R"(["Internal Server Error","InvalidStateTransition"])");
      }
      stop(pause);
      return reply("204");
    }
    return reply("404");
  }

  const bool is_firecracker_;
  const std::function<void(bool)> stop_;
  bool stopped_ = false;
};

} // namespace

void start_api(const std::string& socket, bool is_firecracker, std::function<void(bool)> stop) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  socket.copy(address.sun_path, sizeof(address.sun_path) - 1);
  const int listener = checked(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0), "socket");
  checked(::bind(listener, reinterpret_cast<const sockaddr*>(&address), sizeof(address)), "bind");
  checked(::listen(listener, 8), "listen");
  std::thread{[listener, is_firecracker, stop = std::move(stop)] {
    Api{is_firecracker, stop}.serve(listener);
  }}.detach();
}

} // namespace vmemfs::test::kvm_vmm
