// SPDX-License-Identifier: MIT
// A QEMU of another architecture than x86_64 that has not run yet, with a stub for debuggers.
#pragma once

#include "support/child_process.h"
#include "support/files.h"
#include "support/gdb/gdb_client.h"
#include "support/mount.h"
#include "support/qemu_guest.h"
#include "util/unique_fd.h"

#include <cstddef>
#include <cstdint>
#include <fcntl.h>
#include <fmt/format.h>
#include <gtest/gtest.h>
#include <map>
#include <optional>
#include <regex>
#include <string>
#include <vector>

namespace vmemfs::test {

inline constexpr std::size_t kContentBytes = std::size_t{3} << 20;
inline constexpr std::uint64_t kArmRam = 0x4000'0000;
inline constexpr std::uint64_t kRiscvRam = 0x8000'0000;
inline constexpr std::uint64_t kContent = 16 << 20; ///< in the RAM, behind what QEMU itself puts there

inline bool is_installed(const std::string& program) {
  return run({"sh", "-c", "command -v " + program}).code == 0;
}

/// Bytes that repeat nowhere.
inline std::string content() {
  std::string bytes(kContentBytes, 0);
  std::uint32_t state = 1;
  for (char& c : bytes) {
    state = state * 1664525 + 1013904223;
    c = static_cast<char>(state >> 24U);
  }
  return bytes;
}

/// A machine that has not run yet, with random bytes in its RAM.
class StoppedMachine {
public:
  StoppedMachine(const std::string& program, std::uint64_t ram, const std::vector<std::string>& more = {})
      : ram_{ram} {
    write_file(dir_ / "content", content());
    GuestOptions options{.program = program, .machine = "virt", .memory = "128M", .kernel = false};
    const std::string loader =
        fmt::format("loader,file={},addr={:#x},force-raw=on", dir_ / "content", ram + kContent);
    options.extra = {
        "-S", "-smp", "2", "-device", loader, "-gdb", fmt::format("unix:{},server=on,wait=off", stub())};
    options.extra.insert(options.extra.end(), more.begin(), more.end());
    guest_.emplace(options);
  }

  [[nodiscard]] QemuGuest& guest() { return *guest_; }
  [[nodiscard]] std::string stub() const { return dir_ / "gdb"; }
  [[nodiscard]] std::string vm() const {
    return fmt::format("vm=gdbstub:address={},timeout=60s,maps={:#x}-{:#x}", stub(), ram_,
                       ram_ + (128 << 20));
  }
  void expect_memory(const Mount& mount) {
    const UniqueFd mem{::open((mount / "vm/mem").c_str(), O_RDONLY | O_CLOEXEC)};
    ASSERT_TRUE(mem) << mount.log();
    for (std::uint64_t at = 0; at < kContent + kContentBytes + 4096; at += 1 << 20) {
      EXPECT_EQ(pread_at(mem.get(), ram_ + at, 1 << 20).bytes, guest_->pmemsave(ram_ + at, 1 << 20)) << at;
    }
  }

private:
  TempDir dir_;
  const std::uint64_t ram_;
  std::optional<QemuGuest> guest_;
};

/// The numbers of control and status registers, by the stub's description of them.
inline std::map<std::string, std::string> riscv_numbers(GdbClient& debugger) {
  std::string text;
  for (std::string part = "m"; part.starts_with('m') && text.size() < (1 << 16); text += part.substr(1)) {
    part = debugger.ask(fmt::format("qXfer:features:read:riscv-csr.xml:{:x},400", text.size()));
  }
  const std::regex pattern{R"xml(name="(\w+)"[^>]*regnum="(\d+)")xml"};
  std::map<std::string, std::string> numbers;
  for (std::sregex_iterator it{text.begin(), text.end(), pattern}, end; it != end; ++it) {
    numbers.emplace((*it)[1], fmt::format("{:x}", std::stoul((*it)[2])));
  }
  return numbers;
}

} // namespace vmemfs::test
