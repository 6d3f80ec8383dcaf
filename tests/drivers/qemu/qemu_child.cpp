// SPDX-License-Identifier: MIT
#include "tests/drivers/qemu/qemu_child.h"

#include "tests/drivers/qemu/firmware.h"

#include <array>
#include <chrono>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <stdexcept>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <thread>
#include <unistd.h>

namespace vmemfs::qemu {
namespace {

using namespace std::chrono_literals;

constexpr const char* kProgram = "qemu-system-x86_64";
constexpr std::string_view kPrompt = "(qemu) ";

pid_t start(std::vector<std::string> arguments) {
  std::vector<char*> raw;
  for (std::string& argument : arguments) {
    raw.push_back(argument.data());
  }
  raw.push_back(nullptr);
  const pid_t pid = ::fork();
  if (pid == 0) {
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);
    ::execvp(raw.front(), raw.data());
    ::_exit(127);
  }
  return pid;
}

/// Waits until `server` listens.
UniqueFd connect_patiently(const std::string& path, pid_t server) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  path.copy(address.sun_path, sizeof(address.sun_path) - 1);
  for (int i = 0; i < 3000 && ::waitpid(server, nullptr, WNOHANG) == 0; ++i) {
    UniqueFd socket{::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0)};
    if (::connect(socket.get(), reinterpret_cast<const sockaddr*>(&address), sizeof(address)) == 0) {
      return socket;
    }
    std::this_thread::sleep_for(10ms);
  }
  throw std::runtime_error{"QEMU did not start"};
}

} // namespace

bool have_qemu(Accelerator accelerator) {
  static const bool found = std::system("command -v qemu-system-x86_64 > /dev/null") == 0;
  return found && (accelerator == Accelerator::tcg || ::access("/dev/kvm", R_OK | W_OK) == 0);
}

QemuChild::QemuChild(const std::vector<std::string>& arguments, Accelerator accelerator) {
  std::vector<std::string> all{kProgram,
                               "-accel",
                               accelerator == Accelerator::tcg ? "tcg" : "kvm",
                               "-nodefaults",
                               "-display",
                               "none",
                               "-m",
                               "64",
                               "-qmp",
                               "unix:" + qmp_path() + ",server=on,wait=off",
                               "-monitor",
                               "unix:" + (directory_ / "hmp") + ",server=on,wait=off"};
  std::ofstream{directory_ / "LONG_MODE", std::ios::binary} << long_mode_firmware();
  std::ofstream{directory_ / "REAL_MODE", std::ios::binary} << real_mode_firmware();
  for (const std::string& argument : arguments) {
    all.push_back(argument == "LONG_MODE" || argument == "REAL_MODE" ? directory_ / argument : argument);
  }
  pid_ = start(std::move(all));
  human_ = connect_patiently(directory_ / "hmp", pid_);
  read_to_prompt();
}

QemuChild::~QemuChild() {
  ::kill(pid_, SIGKILL);
  ::waitpid(pid_, nullptr, 0);
}

std::string QemuChild::ask(const std::string& command) {
  const std::string line = command + "\n";
  if (::send(human_.get(), line.data(), line.size(), MSG_NOSIGNAL) != static_cast<ssize_t>(line.size())) {
    throw std::runtime_error{"QEMU closed its human monitor"};
  }
  const std::string text = read_to_prompt();
  const std::size_t echo = text.find("\r\n");
  return echo == std::string::npos ? text : text.substr(echo + 2);
}

std::string QemuChild::read_to_prompt() {
  std::string text;
  while (!text.ends_with(kPrompt)) {
    std::array<char, 4096> bytes{};
    const ssize_t got = ::recv(human_.get(), bytes.data(), bytes.size(), 0);
    if (got <= 0) {
      throw std::runtime_error{"QEMU closed its human monitor"};
    }
    text.append(bytes.data(), static_cast<std::size_t>(got));
  }
  return text.substr(0, text.size() - kPrompt.size());
}

std::optional<std::uint64_t> QemuChild::register_of(unsigned vcpu, const std::string& name) {
  const std::string text = ask("info registers -a");
  const std::size_t block = text.find("CPU#" + std::to_string(vcpu));
  const std::size_t found = block == std::string::npos ? block : text.find(name + "=", block);
  if (found == std::string::npos) {
    return std::nullopt;
  }
  return std::strtoull(text.c_str() + found + name.size() + 1, nullptr, 16);
}

std::size_t QemuChild::open_files() const {
  const auto entries = std::filesystem::directory_iterator{"/proc/" + std::to_string(pid_) + "/fd"};
  return static_cast<std::size_t>(std::distance(begin(entries), end(entries)));
}

std::size_t QemuChild::settled_open_files() const {
  constexpr int kRoundsThatCount = 20;
  std::size_t count = open_files();
  for (int same = 0; same < kRoundsThatCount;) {
    std::this_thread::sleep_for(5ms);
    const std::size_t now = open_files();
    same = now == count ? same + 1 : 0;
    count = now;
  }
  return count;
}

LongModeQemu::LongModeQemu() : QemuChild{{"-smp", "2", "-bios", "LONG_MODE"}} {
  for (int i = 0; i < 3000; ++i) {
    if (register_of(0, "RIP") == kLongModeSpin) {
      return;
    }
    std::this_thread::sleep_for(10ms);
  }
  throw std::runtime_error{"the guest did not reach 64-bit mode"};
}

} // namespace vmemfs::qemu
