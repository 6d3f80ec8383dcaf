// SPDX-License-Identifier: MIT
// liar KIND -qmp unix:PATH,...: a QEMU whose monitor at PATH lies to whoever connects.
//   garbage   bytes at random instead of QMP
//   endless   a line of 64 MiB that does not end
//   types     a greeting, then answers of the wrong types and with numbers out of range
//   slow      a right greeting, one byte every 50 ms
//   closes    takes a connection and closes it
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <iterator>
#include <string>
#include <string_view>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

namespace {

constexpr std::string_view kGreeting =
    "{\"QMP\":{\"version\":{\"qemu\":{\"major\":9,\"minor\":0,\"micro\":0}},\"capabilities\":[]}}\n";

int listen_at(const std::string& path) {
  const int socket = ::socket(AF_UNIX, SOCK_STREAM, 0);
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  std::strncpy(address.sun_path, path.c_str(), sizeof(address.sun_path) - 1);
  if (::bind(socket, reinterpret_cast<const sockaddr*>(&address), sizeof(address)) != 0 ||
      ::listen(socket, 8) != 0) {
    ::_exit(3);
  }
  return socket;
}

/// False if the other side has hung up.
bool say(int client, std::string_view text) {
  while (!text.empty()) {
    const ssize_t sent = ::send(client, text.data(), text.size(), MSG_NOSIGNAL);
    if (sent <= 0) {
      return false;
    }
    text.remove_prefix(static_cast<std::size_t>(sent));
  }
  return true;
}

void say_garbage(int client) {
  std::uint64_t state = 88172645463325252U;
  std::string bytes(4096, '\0');
  for (char& byte : bytes) {
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    byte = static_cast<char>(state);
  }
  static_cast<void>(say(client, bytes) && say(client, "\n"));
}

void say_endless(int client) {
  const std::string piece(std::size_t{1} << 20, '[');
  for (int i = 0; i < 64 && say(client, piece); ++i) {
  }
}

void answer_wrongly(int client) {
  static constexpr std::string_view kAnswers[] = {
      R"({"return":[[]],"id":-1})",
      R"({"return":"18446744073709551616","id":99999999999999999999})",
      R"({"return":{"running":"yes","status":[]}})",
      R"({"error":7})",
      R"([])",
      R"({"return":"  ffffffffffffffff-0000000000000000 (prio 0, ram): pc.ram\r\n"})",
  };
  static_cast<void>(say(client, kGreeting));
  char received[4096];
  ssize_t got = 0;
  for (std::size_t i = 0; (got = ::read(client, received, sizeof received)) > 0; ++i) {
    std::string answer{kAnswers[i % std::size(kAnswers)]};
    // Every other answer has the id that it should have.
    const std::string command{received, static_cast<std::size_t>(got)};
    if (const std::size_t id = command.find("\"id\":"); id != std::string::npos && i % 2 == 0) {
      answer = R"({"return":{"running":"yes","status":[],"UUID":3,"name":{}},"id":)" +
               std::to_string(std::strtoull(command.c_str() + id + 5, nullptr, 10)) + "}";
    }
    if (!say(client, answer) || !say(client, "\n")) {
      return;
    }
  }
}

void say_slowly(int client) {
  for (const char& byte : kGreeting) {
    if (!say(client, {&byte, 1})) {
      return;
    }
    ::usleep(50'000);
  }
}

} // namespace

int main(int count, char** arguments) {
  if (count < 4) {
    return 1;
  }
  const std::string_view kind = arguments[1];
  const std::string option = arguments[3];
  const std::size_t begin = option.find(':') + 1;
  const int socket = listen_at(option.substr(begin, option.find(',') - begin));
  for (;;) {
    const int client = ::accept(socket, nullptr, nullptr);
    if (kind == "garbage") {
      say_garbage(client);
    } else if (kind == "endless") {
      say_endless(client);
    } else if (kind == "types") {
      answer_wrongly(client);
    } else if (kind == "slow") {
      say_slowly(client);
    }
    ::close(client);
  }
}
