// SPDX-License-Identifier: MIT
#include "support/mount.h"

#include "support/users.h"

#include <algorithm>
#include <csignal>
#include <filesystem>
#include <gtest/gtest.h>
#include <iterator>
#include <stdexcept>

namespace vmemfs::test {

namespace {

/// As in /proc/self/mountinfo.
std::string escaped(const std::string& path) {
  std::string text;
  for (const char c : path) {
    text += c == ' ' ? "\\040" : c == '\\' ? "\\134" : std::string{c};
  }
  return text;
}

/// Without a timeout of its own, a VM of QEMU gets one that a busy host does not reach.
std::string with_patience(const std::string& argument) {
  const bool is_qemu = argument.find("=qemu:") != std::string::npos;
  return is_qemu && argument.find("timeout=") == std::string::npos ? argument + ",timeout=20s" : argument;
}

} // namespace

bool is_mountpoint(const std::string& path) {
  const std::filesystem::path given{path};
  const std::string real = std::filesystem::canonical(given.parent_path()) / given.filename();
  return read_file("/proc/self/mountinfo").find(" " + escaped(real) + " ") != std::string::npos;
}

bool is_plain_directory(const std::string& path) {
  std::error_code ignored;
  return !is_mountpoint(path) && std::filesystem::is_directory(path, ignored);
}

Mount::Mount(const std::vector<std::string>& args, Discover discover, const std::optional<RunAs>& run_as) {
  std::filesystem::create_directory(path());
  if (run_as) {
    as_ = run_as->command;
    give(dir_.path(), run_as->user);
    give(path(), run_as->user);
  }
  std::vector<std::string> command = joined(as_, {VMEMFS_PROGRAM, "-f"});
  if (discover == Discover::off) {
    command.emplace_back("--no-discover");
  }
  std::ranges::transform(args, std::back_inserter(command), with_patience);
  command.push_back(path());
  daemon_ = std::make_unique<ChildProcess>(command, dir_ / "log");
  static_cast<void>(eventually([&] { return is_mountpoint(path()) || daemon_->wait({}).has_value(); }));
  if (!is_mountpoint(path())) {
    throw std::runtime_error{"no mount: " + log()};
  }
  static_cast<void>(exists(path())); // answered when it is served
}

Mount::~Mount() {
  daemon_->signal(SIGTERM);
  const auto code = daemon_->wait(std::chrono::seconds{20});
  if (!code) {
    daemon_->signal(SIGKILL);
  }
  // Whatever a test looks at: a daemon that did not end well (a sanitizer's report, a crash) fails it.
  if (code != 0 && !killed_) {
    ADD_FAILURE() << "the daemon ended with " << code.value_or(-1) << ":\n" << log();
  }
  if (!eventually([&] { return is_plain_directory(path()); })) {
    ADD_FAILURE() << "the mount is still there";
    static_cast<void>(run({"fusermount3", "-u", "-z", path()}));
  }
}

pid_t Mount::mounter() const {
  const auto found = children_of(daemon_->pid(), "vmemfs-mount");
  if (found.size() != 1) {
    throw std::runtime_error{"no process that unmounts"};
  }
  return found.front();
}

void Mount::kill_daemon() {
  killed_ = true;
  daemon_->signal(SIGKILL);
}

int Mount::unmount() {
  if (const auto result = run(joined(as_, {"fusermount3", "-u", path()})); result.code != 0) {
    throw std::runtime_error{"fusermount3: " + result.text};
  }
  const auto code = daemon_->wait(std::chrono::seconds{20});
  if (!code) {
    throw std::runtime_error{"the daemon does not end after unmounting"};
  }
  return *code;
}

} // namespace vmemfs::test
