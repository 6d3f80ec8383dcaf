// SPDX-License-Identifier: MIT
// /proc/PID/net/unix, in which processes choose the names of sockets.
#include "drivers/qemu/monitor/monitor_socket.h"
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
    std::filesystem::remove(path_ / "1/net/unix");
    std::filesystem::create_symlink(target, path_ / "1/net/unix");
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
  static_cast<void>(vmemfs::qemu::has_client("/run/web01.qmp", 1, proc.path()));
  static_cast<void>(vmemfs::qemu::find_monitor_path({.path = {}, .fd = 7}, 1, proc.path()));
}
