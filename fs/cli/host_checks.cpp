// SPDX-License-Identifier: MIT
#include "fs/cli/host_checks.h"

#include "core/text.h"
#include "fs/privileges/capabilities.h"
#include "host/process.h"
#include "util/unique_fd.h"

#include <cerrno>
#include <cstdlib>
#include <fcntl.h>
#include <fmt/format.h>
#include <fmt/ranges.h>
#include <linux/capability.h>
#include <optional>
#include <string>
#include <string_view>
#include <sys/stat.h>
#include <system_error>
#include <unistd.h>

namespace vmemfs {
namespace {

HostCheck check_device() {
  HostCheck check{"/dev/fuse", true, Weight::needed, "can be opened"};
  const UniqueFd device{::open("/dev/fuse", O_RDWR | O_CLOEXEC)};
  if (device) {
    return check;
  }
  check.good = false;
  if (errno == ENOENT || errno == ENODEV || errno == ENXIO) {
    check.detail = "does not exist; run modprobe fuse as root (if that fails, the kernel lacks "
                   "CONFIG_FUSE_FS; a container needs --device /dev/fuse)";
  } else if (errno == EACCES || errno == EPERM) {
    check.detail = fmt::format(
        "cannot be opened: {}; run chmod 666 /dev/fuse as root (a container needs --device /dev/fuse)",
        std::generic_category().message(errno));
  } else {
    check.detail = fmt::format("cannot be opened: {}", std::generic_category().message(errno));
  }
  return check;
}

std::optional<std::string> find_program(const std::string& name) {
  const char* const path = std::getenv("PATH"); // NOLINT(concurrency-mt-unsafe): there is one thread
  for (const std::string_view dir : split(path != nullptr ? path : "/usr/bin:/bin", ':')) {
    const std::string file = fmt::format("{}/{}", dir, name);
    if (::access(file.c_str(), X_OK) == 0) {
      return file;
    }
  }
  return std::nullopt;
}

/// A process that may mount does not need it.
HostCheck check_helper() {
  const bool can_mount = may(CAP_SYS_ADMIN);
  const Weight weight = can_mount ? Weight::helpful : Weight::needed;
  const auto program = find_program("fusermount3");
  if (!program) {
    return {"fusermount3", false, weight,
            "not found in PATH, and only root can mount without it; run apt-get install fuse3 as root"};
  }
  struct stat info {};
  const bool is_set_uid =
      ::stat(program->c_str(), &info) == 0 && info.st_uid == 0 && (info.st_mode & S_ISUID) != 0;
  if (!is_set_uid && !can_mount) {
    return {"fusermount3", false, weight,
            fmt::format("{} is not set-uid root, so only root can mount; run chmod u+s {} as root", *program,
                        *program)};
  }
  return {"fusermount3", true, weight, *program};
}

/// Check for -o allow_other, which only root may use unless /etc/fuse.conf allows it.
HostCheck check_allow_other() {
  constexpr const char* kConfig = "/etc/fuse.conf";
  HostCheck check{"-o allow_other", true, Weight::helpful, "can be used to give other users access"};
  if (::geteuid() == 0) {
    return check;
  }
  const auto text = read_proc_file(kConfig);
  for (const std::string_view line : split(text ? *text : std::string_view{}, '\n')) {
    if (trim(line) == "user_allow_other") {
      return check;
    }
  }
  check.good = false;
  check.detail =
      fmt::format("only root may use it on this host; add the line user_allow_other to {} as root", kConfig);
  return check;
}

HostCheck check_capabilities(const Needs& needs) {
  std::vector<std::string> missing;
  for (const auto& needed : needs.useful_capabilities()) {
    if (!may(needed.number)) {
      missing.push_back(capability_name(needed.number));
    }
  }
  if (missing.empty()) {
    return {"VMs of other users", true, Weight::helpful, "all required capabilities are available"};
  }
  return {
      "VMs of other users", false, Weight::helpful,
      fmt::format("{} missing; run vmemfs as root or as a service (packaging/vmemfs.service). VMs of uid {} "
                  "do without",
                  fmt::join(missing, ", "), ::geteuid())};
}

/// What a driver needs, each with its purpose: what this process lacks, and what it has.
struct NeedsLists {
  std::vector<std::string> missing;
  std::vector<std::string> there;

  void add(std::string_view name, std::string_view why, bool is_missing) {
    (is_missing ? missing : there).push_back(fmt::format("{} ({})", name, why));
  }
};

HostCheck check_yama() {
  constexpr const char* kScope = "/proc/sys/kernel/yama/ptrace_scope";
  HostCheck check{"kernel.yama.ptrace_scope", true, Weight::helpful, ""};
  const auto text = read_proc_file(kScope);
  if (!text) {
    check.detail = "not available: this kernel has no Yama";
    return check;
  }
  const std::string scope{trim(*text)};
  check.detail = fmt::format("{}", printable(scope));
  if (scope == "3") {
    check.good = false;
    check.detail += ": no process may read another process's memory, not even as root, until the next boot; "
                    "remove the setting from /etc/sysctl.d and reboot (RAM in shared files can be read)";
  } else if (scope != "0" && !may(CAP_SYS_PTRACE)) {
    check.good = false;
    check.detail +=
        ": being the same user is not enough to read a VM; run sysctl kernel.yama.ptrace_scope=0 as "
        "root, or run vmemfs with CAP_SYS_PTRACE";
  }
  return check;
}

} // namespace

std::vector<HostCheck> mount_checks() { return {check_device(), check_helper(), check_allow_other()}; }

std::vector<HostCheck> rights_checks(const Needs& needs) { return {check_capabilities(needs), check_yama()}; }

std::vector<HostCheck> needs_checks(std::string_view driver, const Needs& needs) {
  NeedsLists lists;
  for (const auto& needed : needs.useful_capabilities()) {
    lists.add(capability_name(needed.number), needed.why, !may(needed.number));
  }
  for (const auto& needed : needs.devices) {
    const std::string path{needed.path};
    if (needed.optional && ::access(path.c_str(), F_OK) != 0) {
      continue;
    }
    lists.add(needed.path, needed.why, ::access(path.c_str(), R_OK | W_OK) != 0);
  }
  for (const auto& needed : needs.system_calls) { // a filter cannot be asked
    lists.add(needed.name, needed.why, false);
  }
  if (needs.network) {
    lists.there.emplace_back("the network");
  }
  const std::string there = fmt::format("{}", fmt::join(lists.there, ", "));
  const std::string name = fmt::format("needs of {}", driver);
  if (!lists.missing.empty()) {
    return {{name, false, Weight::helpful,
             fmt::format("missing: {}; run vmemfs as root or as a service (packaging/vmemfs.service){}{}",
                         fmt::join(lists.missing, ", "), there.empty() ? "" : "; available: ", there)}};
  }
  return there.empty() ? std::vector<HostCheck>{}
                       : std::vector<HostCheck>{{name, true, Weight::helpful, there}};
}

} // namespace vmemfs
