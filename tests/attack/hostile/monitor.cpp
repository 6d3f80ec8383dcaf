// SPDX-License-Identifier: MIT
// monitor FILES VALUES -qmp unix:PATH,...: a QEMU with a monitor at PATH. Its guest's memory is FILES pages,
// each in a file of its own that only the mapping keeps. If VALUES is not 0, it answers query-cpus-fast with
// a list of as many empty lists.
//
// With "missing" or "missing-user" as FILES the memory is 16 MiB without a page, which a userfaultfd should
// supply and never does: as a guest that is migrated by post-copy, or restored lazily, from a source that
// hangs. "missing-user": a handler of this process's own accesses, which takes no rights. Ends with 4 if the
// kernel does not allow it.
//
// The guest has as many of these pages as the file PATH.pages says, all if there is none.
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <fstream>
#include <linux/userfaultfd.h>
#include <string>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <unistd.h>

namespace {

constexpr std::uint64_t kPage = 4096;

struct Guest {
  std::uint64_t base = 0;
  std::uint64_t pages = 0;
  std::uint64_t values = 0;
  std::string pages_file{};

  [[nodiscard]] std::uint64_t plugged_pages() const {
    std::uint64_t number = pages;
    std::ifstream{pages_file} >> number;
    return number != 0 ? number : pages;
  }
};

std::uint64_t map_files(std::uint64_t count) {
  void* const base = ::mmap(nullptr, count * kPage, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  for (std::uint64_t i = 0; i < count; ++i) {
    const int file = ::memfd_create("ram", 0);
    if (file < 0 || ::ftruncate(file, kPage) != 0 ||
        ::mmap(static_cast<char*>(base) + i * kPage, kPage, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED,
               file, 0) == MAP_FAILED) {
      ::_exit(2);
    }
    ::close(file);
  }
  return reinterpret_cast<std::uint64_t>(base);
}

std::uint64_t map_missing(std::uint64_t count, int flags) {
  void* const base =
      ::mmap(nullptr, count * kPage, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  const int handler = static_cast<int>(::syscall(SYS_userfaultfd, flags)); // stays open
  uffdio_api api{};
  api.api = UFFD_API;
  uffdio_register area{};
  area.range = {reinterpret_cast<std::uint64_t>(base), count * kPage};
  area.mode = UFFDIO_REGISTER_MODE_MISSING;
  if (handler < 0 || ::ioctl(handler, UFFDIO_API, &api) != 0 ||
      ::ioctl(handler, UFFDIO_REGISTER, &area) != 0) {
    ::_exit(4);
  }
  return area.range.start;
}

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

bool has(const std::string& command, const char* text) { return command.find(text) != std::string::npos; }

std::string text(const char* format, std::uint64_t value) {
  char line[200];
  std::snprintf(line, sizeof line, format, static_cast<unsigned long long>(value));
  return line;
}

std::string answer_to(const std::string& command, const Guest& guest) {
  if (has(command, "info mtree")) {
    return R"("FlatView #0\r\n AS \"memory\", root: system\r\n Root memory region: system\r\n  0000000000000000-)" +
           text("%016llx", guest.plugged_pages() * kPage - 1) + R"( (prio 0, ram): pc.ram\r\n")";
  }
  if (has(command, "gpa2hva")) {
    return text(R"("Host virtual address for 0x0 (pc.ram) is 0x%llx\r\n")", guest.base);
  }
  if (has(command, "query-cpus-fast") && guest.values != 0) {
    std::string list = "[[]";
    for (std::uint64_t i = 1; i < guest.values; ++i) {
      list += ",[]";
    }
    return list + "]";
  }
  if (has(command, "query-status")) {
    return R"({"running":true,"status":"running"})";
  }
  if (has(command, "query-uuid")) {
    return R"({"UUID":"00000000-0000-0000-0000-000000000000"})";
  }
  return has(command, "query-") && !has(command, "query-name") ? "[]" : "{}";
}

void serve(int client, const Guest& guest) {
  const auto send = [client](const std::string& line) {
    for (std::size_t done = 0; done < line.size();) {
      const ssize_t sent = ::send(client, line.data() + done, line.size() - done, MSG_NOSIGNAL);
      if (sent <= 0) {
        return;
      }
      done += static_cast<std::size_t>(sent);
    }
  };
  send("{\"QMP\":{\"version\":{\"qemu\":{\"major\":9,\"minor\":0,\"micro\":0}},\"capabilities\":[]}}\n");
  std::string received;
  char bytes[4096];
  for (ssize_t got = 0; (got = ::read(client, bytes, sizeof bytes)) > 0;) {
    received.append(bytes, static_cast<std::size_t>(got));
    for (std::size_t end = 0; (end = received.find('\n')) != std::string::npos; received.erase(0, end + 1)) {
      const std::string command = received.substr(0, end);
      const std::size_t id = command.find("\"id\":");
      send("{\"return\":" + answer_to(command, guest) +
           ",\"id\":" + std::to_string(std::stoull(command.substr(id + 5))) + "}\n");
    }
  }
  ::close(client);
}

} // namespace

int main(int count, char** arguments) {
  if (count < 5) {
    return 1;
  }
  Guest guest;
  const std::string memory = arguments[1];
  const bool missing = memory.starts_with("missing");
  guest.pages = missing ? 4096 : std::stoull(memory);
  guest.values = std::stoull(arguments[2]);
  guest.base = missing ? map_missing(guest.pages, memory == "missing" ? 0 : UFFD_USER_MODE_ONLY)
                       : map_files(guest.pages);
  const std::string option = arguments[4];
  const std::size_t begin = option.find(':') + 1;
  const std::string path = option.substr(begin, option.find(',') - begin);
  guest.pages_file = path + ".pages";
  const int socket = listen_at(path);
  for (;;) {
    serve(::accept(socket, nullptr, nullptr), guest);
  }
}
