// SPDX-License-Identifier: MIT
#include "host/child/spawn.h"

#include "util/unique_fd.h"

#include <cerrno>
#include <csignal>
#include <cstddef>
#include <fcntl.h>
#include <fmt/format.h>
#include <span>
#include <spawn.h>
#include <unistd.h>
#include <utility>

namespace vmemfs {
namespace {

/// Copies above all numbers that the program gets, so that none is overwritten before it is duplicated.
Result<std::vector<UniqueFd>> out_of_the_way(std::span<const int> descriptors, std::string_view origin) {
  std::vector<UniqueFd> copies;
  for (const int descriptor : descriptors) {
    UniqueFd copy{::fcntl(descriptor, F_DUPFD_CLOEXEC, static_cast<int>(descriptors.size()))};
    if (!copy) {
      return fail_errno(errno, origin, "cannot pass a descriptor to a process");
    }
    copies.push_back(std::move(copy));
  }
  return copies;
}

class SpawnSetup {
public:
  SpawnSetup(std::span<const UniqueFd> descriptors, bool block_signals) {
    ::posix_spawn_file_actions_init(&files_);
    int number = 0;
    for (const UniqueFd& descriptor : descriptors) {
      ::posix_spawn_file_actions_adddup2(&files_, descriptor.get(), number++);
    }
    ::posix_spawn_file_actions_addclosefrom_np(&files_, number);
    ::posix_spawnattr_init(&attributes_);
    sigset_t all;
    sigfillset(&all);
    ::posix_spawnattr_setsigdefault(&attributes_, &all);
    sigset_t none;
    sigemptyset(&none);
    ::posix_spawnattr_setsigmask(&attributes_, block_signals ? &all : &none);
    ::posix_spawnattr_setflags(&attributes_,
                               POSIX_SPAWN_SETSID | POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
  }
  SpawnSetup(const SpawnSetup&) = delete;
  SpawnSetup& operator=(const SpawnSetup&) = delete;
  ~SpawnSetup() {
    ::posix_spawnattr_destroy(&attributes_);
    ::posix_spawn_file_actions_destroy(&files_);
  }

  [[nodiscard]] const posix_spawn_file_actions_t* files() const { return &files_; }
  [[nodiscard]] const posix_spawnattr_t* attributes() const { return &attributes_; }

private:
  posix_spawn_file_actions_t files_{};
  posix_spawnattr_t attributes_{};
};

} // namespace

Result<pid_t> spawn(const SpawnedProgram& program, std::string_view origin) {
  const auto descriptors = out_of_the_way(program.descriptors, origin);
  if (!descriptors) {
    return tl::unexpected{descriptors.error()};
  }
  std::vector<std::string> arguments = program.arguments;
  std::vector<char*> argv;
  argv.reserve(arguments.size() + 1);
  for (std::string& argument : arguments) {
    argv.push_back(argument.data());
  }
  argv.push_back(nullptr);
  const SpawnSetup setup{*descriptors, program.blocks_signals};
  pid_t pid = 0;
  const int error =
      ::posix_spawn(&pid, program.path.c_str(), setup.files(), setup.attributes(), argv.data(), environ);
  if (error != 0) {
    return fail_errno(error, origin, fmt::format("cannot run {}", program.path));
  }
  return pid;
}

} // namespace vmemfs
