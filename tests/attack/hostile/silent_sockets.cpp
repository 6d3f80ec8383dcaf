// SPDX-License-Identifier: MIT
// silent_sockets make COUNT FOLDER NAME: listens on COUNT sockets in FOLDER and then executes itself with the
// command line of a QEMU called NAME that has them all as monitors. Says nothing on any of them.
#include <cstring>
#include <string>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>
#include <vector>

namespace {

/// The listening socket stays open.
bool listen_at(const std::string& path) {
  const int socket = ::socket(AF_UNIX, SOCK_STREAM, 0);
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  std::strncpy(address.sun_path, path.c_str(), sizeof(address.sun_path) - 1);
  return socket >= 0 && ::bind(socket, reinterpret_cast<const sockaddr*>(&address), sizeof(address)) == 0 &&
         ::listen(socket, 8) == 0;
}

} // namespace

int main(int count, char** arguments) {
  if (count != 5 || std::string{arguments[1]} != "make") {
    for (;;) {
      ::pause();
    }
  }
  const std::string program = arguments[0];
  std::vector<std::string> line{program, "-name", arguments[4], "-m", "64"};
  for (int i = 0; i < std::stoi(arguments[2]); ++i) {
    const std::string path = std::string{arguments[3]} + "/" + std::to_string(i);
    if (!listen_at(path)) {
      return 1;
    }
    line.insert(line.end(), {"-qmp", "unix:" + path + ",server=on,wait=off"});
  }
  std::vector<char*> words;
  for (std::string& word : line) {
    words.push_back(word.data());
  }
  words.push_back(nullptr);
  ::execv(program.c_str(), words.data());
  return 1;
}
