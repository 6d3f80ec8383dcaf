// SPDX-License-Identifier: MIT
#include "support/kvm/kvm_vmm.h"

#include "util/unique_fd.h"

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <fcntl.h>
#include <fmt/format.h>
#include <linux/capability.h>
#include <stdexcept>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <thread>
#include <unistd.h>

namespace vmemfs::test {
namespace {

constexpr std::chrono::seconds kPatience{60};

std::vector<std::string> arguments_of(const KvmVmmOptions& options, const std::string& fifo,
                                      const std::string& api) {
  std::vector<std::string> arguments{VMEMFS_KVM_VMM, "memory=" + options.memory, "commands=" + fifo,
                                     fmt::format("slots={}", options.more_slots),
                                     fmt::format("vcpus={}", options.vcpus)};
  if (!options.api.empty()) {
    arguments.push_back(options.api + "=" + api);
  }
  if (options.ports) {
    arguments.emplace_back("ports");
  }
  if (options.stopped) {
    arguments.emplace_back("stopped");
  }
  if (!options.name.empty()) {
    arguments.insert(arguments.end(), {"--id", options.name});
  }
  return arguments;
}

std::string make_fifo(const std::string& path) {
  if (::mkfifo(path.c_str(), 0600) != 0) {
    throw std::runtime_error{"cannot make " + path};
  }
  return path;
}

/// The fifo, once its reader has it open; one that has ended would be waited for without end.
UniqueFd open_to_write(const std::string& fifo) {
  const auto limit = std::chrono::steady_clock::now() + kPatience;
  for (;;) {
    UniqueFd file{::open(fifo.c_str(), O_WRONLY | O_NONBLOCK | O_CLOEXEC)};
    if (file) {
      return file;
    }
    if (errno != ENXIO || std::chrono::steady_clock::now() > limit) {
      throw std::runtime_error{"kvm_vmm takes no commands"};
    }
    std::this_thread::sleep_for(std::chrono::milliseconds{1});
  }
}

/// Waits until `text` has a line more than it had.
template <typename Text> void wait_for_lines(std::size_t count, const Text& text) {
  const auto lines = [](const std::string& all) { return std::ranges::count(all, '\n'); };
  const auto limit = std::chrono::steady_clock::now() + kPatience;
  while (static_cast<std::size_t>(lines(text())) < count) {
    if (std::chrono::steady_clock::now() > limit || text().find("error:") != std::string::npos) {
      throw std::runtime_error{"kvm_vmm says: " + text()};
    }
    std::this_thread::sleep_for(std::chrono::milliseconds{5});
  }
}

} // namespace

std::optional<std::string> why_no_kvm() {
  if (!UniqueFd{::open("/dev/kvm", O_RDWR | O_CLOEXEC)}) {
    return "no usable /dev/kvm on this machine";
  }
  if (::access("/sys/kernel/btf/vmlinux", R_OK) != 0) {
    return "this kernel has no BTF";
  }
  struct stat own {};
  constexpr ino_t kFirst = 0xefff'fffc; // PROC_PID_INIT_INO
  if (::stat("/proc/self/ns/pid", &own) != 0 || own.st_ino != kFirst) {
    return "the kernel lists VMs for the first pid namespace alone";
  }
  __user_cap_header_struct header{_LINUX_CAPABILITY_VERSION_3, 0};
  __user_cap_data_struct sets[2]{};
  const bool may = ::syscall(SYS_capget, &header, &sets) == 0 &&
                   (sets[0].effective >> static_cast<unsigned>(CAP_SYS_ADMIN) & 1U) != 0;
  return may ? std::nullopt : std::optional<std::string>{"BPF takes CAP_SYS_ADMIN"};
}

KvmVmm::KvmVmm(const KvmVmmOptions& options)
    : process_{arguments_of(options, make_fifo(dir_ / "commands"), api_socket()), dir_ / "output"} {
  wait_for_lines(1, [this] { return output(); });
}

void KvmVmm::command(const std::string& text) {
  const auto before = static_cast<std::size_t>(std::ranges::count(output(), '\n'));
  const std::string line = text + "\n";
  const UniqueFd fifo = open_to_write(dir_ / "commands");
  if (::write(fifo.get(), line.data(), line.size()) != static_cast<ssize_t>(line.size())) {
    throw std::runtime_error{"cannot write to kvm_vmm"};
  }
  wait_for_lines(before + 1, [this] { return output(); });
}

std::vector<std::byte> KvmVmm::truth(std::uint64_t gpa, std::size_t size) {
  command(fmt::format("dump {} {} {}", gpa, size, dir_ / "dump"));
  const UniqueFd file{::open((dir_ / "dump").c_str(), O_RDONLY | O_CLOEXEC)};
  std::vector<std::byte> bytes(size);
  if (::pread(file.get(), bytes.data(), size, static_cast<off_t>(gpa)) < 0) {
    throw std::runtime_error{"cannot read the dump of kvm_vmm"};
  }
  return bytes;
}

std::vector<KvmVmm::Registers> KvmVmm::registers() {
  command("registers " + (dir_ / "registers"));
  const std::string bytes = read_file(dir_ / "registers");
  std::vector<Registers> all(bytes.size() / sizeof(Registers));
  std::memcpy(all.data(), bytes.data(), all.size() * sizeof(Registers));
  return all;
}

} // namespace vmemfs::test
