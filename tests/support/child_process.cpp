// SPDX-License-Identifier: MIT
#include "support/child_process.h"

#include "support/files.h"

#include <cctype>
#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <fcntl.h>
#include <filesystem>
#include <fstream>
#include <stdexcept>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <system_error>
#include <thread>
#include <unistd.h>

namespace vmemfs::test {
namespace {

/// In the child, after fork: only calls that are safe there. Ends with the process that started it, so
/// that a test which is killed leaves no guest and no mount behind.
[[noreturn]] void become(char* const* argv, const char* output, pid_t parent) {
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  const int null = ::open("/dev/null", O_RDONLY);
  const int file = ::open(output, O_WRONLY | O_CREAT | O_APPEND, 0600);
  if (::getppid() == parent && null >= 0 && file >= 0) {
    ::dup2(null, STDIN_FILENO);
    ::dup2(file, STDOUT_FILENO);
    ::dup2(file, STDERR_FILENO);
    ::execvp(argv[0], argv);
  }
  ::_exit(127);
}

pid_t start(const std::vector<std::string>& args, const std::string& output) {
  std::vector<char*> argv;
  for (const std::string& arg : args) {
    argv.push_back(const_cast<char*>(arg.c_str()));
  }
  argv.push_back(nullptr);
  const pid_t parent = ::getpid();
  const pid_t pid = ::fork();
  if (pid < 0) {
    throw std::system_error{errno, std::generic_category(), "fork"};
  }
  if (pid == 0) {
    become(argv.data(), output.c_str(), parent);
  }
  return pid;
}

} // namespace

ChildProcess::ChildProcess(const std::vector<std::string>& args, const std::string& output)
    : pid_{start(args, output)} {}

ChildProcess::~ChildProcess() {
  if (!status_) {
    signal(SIGKILL);
    ::waitpid(pid_, nullptr, 0);
  }
}

void ChildProcess::signal(int number) const {
  if (!status_) {
    ::kill(pid_, number);
  }
}

std::optional<int> ChildProcess::wait(std::chrono::milliseconds limit) {
  const auto end = std::chrono::steady_clock::now() + limit;
  while (!status_) {
    int status = 0;
    if (::waitpid(pid_, &status, WNOHANG) == pid_) {
      status_ = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
    } else if (std::chrono::steady_clock::now() >= end) {
      return std::nullopt;
    } else {
      std::this_thread::sleep_for(std::chrono::milliseconds{2});
    }
  }
  return status_;
}

namespace {

/// The fields of /proc/PID/stat: name, state, parent. Nothing where there is no such process.
struct Stat {
  std::string name;
  char state;
  pid_t parent;
};

std::optional<Stat> stat_of(const std::string& pid) {
  std::ifstream file{"/proc/" + pid + "/stat"};
  std::string line;
  std::getline(file, line);
  const std::size_t name = line.find('(');
  const std::size_t end = line.rfind(')');
  Stat stat{};
  if (end == std::string::npos ||
      std::sscanf(line.c_str() + end + 1, " %c %d", &stat.state, &stat.parent) != 2) {
    return std::nullopt;
  }
  stat.name = line.substr(name + 1, end - name - 1);
  return stat;
}

} // namespace

std::vector<pid_t> children_of(pid_t parent, const std::string& name) {
  std::vector<pid_t> children;
  for (const auto& entry : std::filesystem::directory_iterator{"/proc"}) {
    const std::string pid = entry.path().filename();
    const auto stat =
        std::isdigit(static_cast<unsigned char>(pid.front())) != 0 ? stat_of(pid) : std::nullopt;
    if (stat && stat->parent == parent && stat->name == name && stat->state != 'Z') {
      children.push_back(std::stoi(pid));
    }
  }
  return children;
}

bool has_ended(pid_t pid) {
  const auto stat = stat_of(std::to_string(pid));
  return !stat || stat->state == 'Z' || stat->state == 'X';
}

RunResult run(const std::vector<std::string>& args) {
  const TempDir dir;
  const std::string output = dir / "output";
  ChildProcess child{args, output};
  const auto code = child.wait(std::chrono::minutes{3});
  if (!code) {
    throw std::runtime_error{args.front() + " does not end"};
  }
  return {*code, read_file(output)};
}

} // namespace vmemfs::test
