// SPDX-License-Identifier: MIT
// impostor make KIND PLACE [TARGET]: listens at PLACE and then executes itself with the command line of a
// QEMU whose monitor is there, or seems to be. KIND:
//
//   swap       a path; the socket's file is replaced by a symbolic link to TARGET
//   abstract   an abstract name; listens in its own network namespace
//   tcp        a port of all addresses; the same
//
// Accepts no connection.
#include <arpa/inet.h>
#include <cstddef>
#include <cstdint>
#include <netinet/in.h>
#include <string>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>
#include <vector>

namespace {

/// The socket stays open.
template <typename Address> bool listen_at(const Address& address, std::size_t size) {
  const int socket = ::socket(reinterpret_cast<const sockaddr*>(&address)->sa_family, SOCK_STREAM, 0);
  return ::bind(socket, reinterpret_cast<const sockaddr*>(&address), static_cast<socklen_t>(size)) == 0 &&
         ::listen(socket, 8) == 0;
}

bool listen_at_unix(const std::string& name, bool abstract) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  name.copy(address.sun_path + (abstract ? 1 : 0), name.size());
  return listen_at(address, abstract ? offsetof(sockaddr_un, sun_path) + 1 + name.size() : sizeof(address));
}

bool listen_at_port(const std::string& port) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(static_cast<std::uint16_t>(std::stoi(port)));
  return listen_at(address, sizeof(address));
}

/// The argument of -qmp; empty if listening failed.
std::string monitor(const std::string& kind, const std::string& place, const std::string& target) {
  const std::string listening = ",server=on,wait=off";
  if (kind == "swap") {
    const bool swapped = listen_at_unix(place, false) && ::unlink(place.c_str()) == 0 &&
                         ::symlink(target.c_str(), place.c_str()) == 0;
    return swapped ? "unix:" + place + listening : "";
  }
  if (kind == "abstract") {
    return listen_at_unix(place, true) ? "unix:" + place + listening + ",abstract=on" : "";
  }
  return listen_at_port(place) ? "tcp::" + place + listening : "";
}

} // namespace

int main(int count, char** arguments) {
  if (count < 4 || std::string{arguments[1]} != "make") {
    for (;;) {
      ::pause();
    }
  }
  const std::string program = arguments[0];
  const std::string qmp = monitor(arguments[2], arguments[3], count > 4 ? arguments[4] : "");
  if (qmp.empty()) {
    return 1;
  }
  std::vector<std::string> line{program, "-name", "web01", "-m", "64", "-qmp", qmp};
  std::vector<char*> words;
  for (std::string& word : line) {
    words.push_back(word.data());
  }
  words.push_back(nullptr);
  ::execv(program.c_str(), words.data());
  return 1;
}
