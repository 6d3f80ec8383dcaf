#include "support/mount.h"

#include <csignal>
#include <filesystem>
#include <gtest/gtest.h>
#include <stdexcept>
#include <sys/stat.h>

namespace vmemfs::test {

bool is_mountpoint(const std::string& path) {
  struct stat here {};
  struct stat above {};
  return ::stat(path.c_str(), &here) == 0 && ::stat((path + "/..").c_str(), &above) == 0 &&
         here.st_dev != above.st_dev;
}

Mount::Mount(const std::vector<std::string>& args, Discover discover) {
  std::filesystem::create_directory(path());
  std::vector<std::string> command{VMEMFS_PROGRAM, "-f"};
  if (discover == Discover::off) {
    command.emplace_back("--no-discover");
  }
  command.insert(command.end(), args.begin(), args.end());
  command.push_back(path());
  daemon_ = std::make_unique<ChildProcess>(command, dir_ / "log");
  static_cast<void>(eventually([&] { return is_mountpoint(path()) || daemon_->wait({}).has_value(); }));
  if (!is_mountpoint(path())) {
    throw std::runtime_error{"no mount: " + log()};
  }
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
  std::error_code ignored;
  if (is_mountpoint(path()) || !std::filesystem::is_directory(path(), ignored)) {
    static_cast<void>(run({"fusermount3", "-u", "-z", path()}));
  }
}

void Mount::kill_daemon() {
  killed_ = true;
  daemon_->signal(SIGKILL);
}

int Mount::unmount() {
  if (const auto result = run({"fusermount3", "-u", path()}); result.code != 0) {
    throw std::runtime_error{"fusermount3: " + result.text};
  }
  const auto code = daemon_->wait(std::chrono::seconds{20});
  if (!code) {
    throw std::runtime_error{"the daemon does not end after unmounting"};
  }
  return *code;
}

} // namespace vmemfs::test
