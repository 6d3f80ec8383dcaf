// SPDX-License-Identifier: MIT
#include "drivers/kvm/identity/vm_process.h"

#include "drivers/kvm/identity/place_name.h"
#include "drivers/kvm/identity/vm_name.h"

#include <filesystem>
#include <fmt/format.h>
#include <string>
#include <sys/stat.h>
#include <system_error>
#include <vector>

namespace vmemfs::kvm {
namespace {

/// Empty if it cannot be read.
std::string link_target(const std::string& path) {
  std::error_code failed;
  return std::filesystem::read_symlink(path, failed).string();
}

} // namespace

std::string key_of_vm(const Process& process, std::uint64_t index) {
  const std::string key = process_key(process);
  return index == 0 ? key : fmt::format("{}.{}", key, index);
}

std::string name_of_process(const Process& process, std::uint64_t index) {
  const std::string executable = exe_path(process.pid()).value_or("");
  const std::string short_name = comm(process.pid()).value_or("vm");
  const auto arguments = command_line(process.pid()).value_or(std::vector<std::string>{});
  std::string name = name_from_command_line({executable, short_name}, arguments);
  if (name.empty()) {
    const std::string cgroups =
        read_proc_file(fmt::format("/proc/{}/cgroup", process.pid()), 64 << 10).value_or("");
    const std::string root = link_target(fmt::format("/proc/{}/root", process.pid()));
    name = name_from_place({executable, root, short_name, cgroups});
  }
  if (name.empty()) {
    name = fmt::format("{}-{}", short_name, process.pid());
  }
  return index == 0 ? name : fmt::format("{}.{}", name, index);
}

bool is_sandbox(const Process& process) {
  const auto arguments = command_line(process.pid());
  return arguments && !arguments->empty() && arguments->front().starts_with("runsc");
}

bool is_qemu(const Process& process) {
  const std::string executable = exe_path(process.pid()).value_or("");
  return executable.substr(executable.rfind('/') + 1).starts_with("qemu");
}

bool in_first_pid_namespace() {
  constexpr ino_t kFirst = 0xefff'fffc; // PROC_PID_INIT_INO
  struct stat own {};
  return ::stat("/proc/self/ns/pid", &own) == 0 && own.st_ino == kFirst;
}

} // namespace vmemfs::kvm
