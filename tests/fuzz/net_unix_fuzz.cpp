// SPDX-License-Identifier: MIT
// The tables of sockets in /proc/PID/net; in that of UNIX sockets processes choose the names.
#include "drivers/qemu/monitor/monitor_socket.h"
#include "drivers/qemu_protocol/qmp_address.h"
#include "fuzz/fuzz_target.h"

#include <filesystem>

namespace {

/// A /proc with one process, whose descriptor 7 is a socket and whose table of sockets has the given text.
class FakeProc {
public:
  FakeProc() {
    std::string pattern = std::filesystem::temp_directory_path() / "vmemfs-fuzz-XXXXXX";
    vmemfs::fuzz::expect(::mkdtemp(pattern.data()) != nullptr, "a folder can be made");
    path_ = pattern;
    std::filesystem::create_directories(path_ / "1/net");
    std::filesystem::create_directories(path_ / "1/fd");
    std::filesystem::create_symlink("socket:[4711]", path_ / "1/fd/7");
  }
  ~FakeProc() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  FakeProc(const FakeProc&) = delete;
  FakeProc& operator=(const FakeProc&) = delete;

  void set_table(const std::string& target) const {
    for (const char* table : {"1/net/unix", "1/net/tcp"}) {
      std::filesystem::remove(path_ / table);
      std::filesystem::create_symlink(target, path_ / table);
    }
  }

  [[nodiscard]] std::string path() const { return path_; }

private:
  std::filesystem::path path_;
};

} // namespace

FUZZ_TARGET(text) {
  static const FakeProc proc; // removed at the end of the program
  const vmemfs::fuzz::MemoryFile table{text};
  proc.set_table(table.path());
  for (const char* address : {"/run/web01.qmp", "abstract:web01", "tcp:127.0.0.1:4444"}) {
    static_cast<void>(vmemfs::qemu::has_client(address, 1, proc.path()));
  }
  vmemfs::qemu::MonitorSocket socket{.path = {}, .fd = 7};
  static_cast<void>(vmemfs::qemu::find_monitor(socket, 1, proc.path()));
  socket = {.path = "web01", .fd = {}, .abstract = true};
  static_cast<void>(vmemfs::qemu::find_monitor(socket, 1, proc.path()));
  socket = {.path = {}, .fd = {}, .tcp = vmemfs::qemu::TcpPlace{"", 1, 65535}};
  const auto found = vmemfs::qemu::find_monitor(socket, 1, proc.path());
  vmemfs::fuzz::expect(!found || vmemfs::is_loopback(*vmemfs::tcp_end_of(*found)),
                       "only loopback addresses are connected to");
}
