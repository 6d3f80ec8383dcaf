// SPDX-License-Identifier: MIT
// Programs of tests/attack/hostile under the name of a QEMU, run by the attacker.
#pragma once

#include "attack/attack.h"
#include "support/child_process.h"
#include "support/files.h"
#include "support/users.h"

#include <filesystem>
#include <memory>
#include <string>
#include <vector>

namespace vmemfs::test {

/// A directory of the attacker's with a program in it that looks like a QEMU. Ends what it started.
class AttackerProgram {
public:
  explicit AttackerProgram(const std::string& name, uid_t user = kAttacker) : user_{user} {
    std::filesystem::copy_file(hostile(name), path());
    std::filesystem::permissions(dir_.path(), std::filesystem::perms{0755});
    give(dir_.path(), user);
  }

  [[nodiscard]] std::string path() const { return dir_ / "qemu-system-x86_64"; }
  [[nodiscard]] const TempDir& dir() const { return dir_; }

  /// Returns when the program has been executed under its last command line. `before`: a program that root
  /// executes first, which executes the rest.
  ChildProcess& start(const std::vector<std::string>& arguments,
                      const std::vector<std::string>& before = {}) {
    auto process = std::make_unique<ChildProcess>(
        joined(joined(before, as_user(user_)), joined({path()}, arguments)), log_ / "log");
    const std::string line = "/proc/" + std::to_string(process->pid()) + "/cmdline";
    static_cast<void>(eventually([&] {
      const std::string now = read_file(line);
      return now.starts_with(path()) && now.find(std::string{'\0'} + "make" + '\0') == std::string::npos;
    }));
    processes_.push_back(std::move(process));
    return *processes_.back();
  }

private:
  const uid_t user_;
  TempDir dir_;
  TempDir log_;
  std::vector<std::unique_ptr<ChildProcess>> processes_;
};

} // namespace vmemfs::test
