// SPDX-License-Identifier: MIT
#include "fs/privileges/system_call_filter.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <fmt/format.h>
#include <memory>
#include <sched.h>
#include <seccomp.h>
#include <sys/socket.h>

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define VMEMFS_SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define VMEMFS_SANITIZED 1
#endif
#endif

namespace vmemfs {
namespace {

constexpr std::string_view kOrigin = "privileges";

// Names instead of numbers: the kernel headers may not define all of them. Calls that libseccomp does not
// know, or that this architecture does not have, are left out; so are those that a driver needs.
constexpr std::array kRefused{
#ifndef VMEMFS_SANITIZED // the leak check traces its own process, and the start of a program sets its
                         // personality
    "ptrace", "personality",
#endif
    // access to other processes: vmemfs reads them, and writes through /proc/PID/mem
    "process_vm_writev", "process_madvise", "kcmp", "move_pages", "migrate_pages",
    // mounting, which the mounter does
    "mount", "umount", "umount2", "pivot_root", "chroot", "open_tree", "move_mount", "fsopen", "fsconfig",
    "fsmount", "fspick", "mount_setattr", "quotactl", "quotactl_fd",
    // namespaces, of which a new one comes with all capabilities in it; see also refuse_new_namespaces()
    "setns", "unshare",
    // the kernel itself
    "init_module", "finit_module", "delete_module", "kexec_load", "kexec_file_load", "bpf", "perf_event_open",
    "reboot", "swapon", "swapoff", "acct", "syslog", "lookup_dcookie", "nfsservctl", "vhangup", "uselib",
    "create_module", "get_kernel_syms", "query_module", "_sysctl", "sysfs", "ustat",
    // parts of the kernel with a history of vulnerabilities that vmemfs does not use
    "userfaultfd", "io_uring_setup", "io_uring_enter", "io_uring_register", "add_key", "request_key",
    "keyctl", "vmsplice", "fanotify_init", "landlock_create_ruleset",
    // other users and privileges; but capset() stays, which can only give up more, as libvirt does before it
    // starts ssh
    "setuid", "setgid", "setreuid", "setregid", "setresuid", "setresgid", "setfsuid", "setfsgid", "setgroups",
    "setuid32", "setgid32", "setreuid32", "setregid32", "setresuid32", "setresgid32", "setfsuid32",
    "setfsgid32", "setgroups32",
    // files by other means than their path
    "open_by_handle_at", "name_to_handle_at", "execveat", "mknod", "mknodat",
    // the machine
    "settimeofday", "clock_settime", "clock_adjtime", "adjtimex", "stime", "sethostname", "setdomainname",
    "iopl", "ioperm", "modify_ldt"};

using Filter = std::unique_ptr<void, decltype(&seccomp_release)>;

constexpr std::uint32_t kAction = SCMP_ACT_ERRNO(EPERM);

/// An Error for libseccomp's return value, which is a negative errno.
tl::unexpected<Error> no_filter(int result) {
  return fail(ErrorKind::unsupported, kOrigin,
              fail_errno(-result, kOrigin, "cannot filter system calls").value().text);
}

/// Refuses clone() with flags for new namespaces. The flags of clone3() are in memory, which a filter cannot
/// read: it fails with ENOSYS, and the C library uses clone() instead.
int refuse_new_namespaces(scmp_filter_ctx filter) {
  constexpr std::array kFlags{CLONE_NEWUSER, CLONE_NEWNS,  CLONE_NEWPID,   CLONE_NEWNET,
                              CLONE_NEWIPC,  CLONE_NEWUTS, CLONE_NEWCGROUP};
  for (const int flag : kFlags) {
    const auto bit = static_cast<scmp_datum_t>(flag);
    const scmp_arg_cmp has_flag{0, SCMP_CMP_MASKED_EQ, bit, bit};
    if (const int result = seccomp_rule_add_array(filter, kAction, SCMP_SYS(clone), 1, &has_flag);
        result != 0) {
      return result;
    }
  }
  return seccomp_rule_add_array(filter, SCMP_ACT_ERRNO(ENOSYS), SCMP_SYS(clone3), 0, nullptr);
}

/// UNIX sockets stay allowed: monitors and the log use them.
int refuse_the_network(scmp_filter_ctx filter) {
  const scmp_arg_cmp other_family{0, SCMP_CMP_NE, AF_UNIX, 0};
  return seccomp_rule_add_array(filter, SCMP_ACT_ERRNO(EAFNOSUPPORT), SCMP_SYS(socket), 1, &other_family);
}

/// Refuses a call with a first argument in [first, last]. A rule has one comparison of an argument: so one
/// for each aligned block of a power of two in between.
int refuse_range(scmp_filter_ctx filter, int call, std::uint32_t first, std::uint32_t last) {
  for (std::uint64_t at = first; at <= last;) {
    std::uint64_t size = at == 0 ? std::uint64_t{1} << 32U : at & (~at + 1);
    while (at + size - 1 > last) {
      size /= 2;
    }
    const scmp_arg_cmp in_block{0, SCMP_CMP_MASKED_EQ, 0xffffffffU & ~(size - 1), at};
    if (const int result = seccomp_rule_add_array(filter, kAction, call, 1, &in_block); result != 0) {
      return result;
    }
    at += size;
  }
  return 0;
}

/// Refuses a call with another first argument than `commands`, which are sorted.
int refuse_other_commands(scmp_filter_ctx filter, int call, const std::vector<std::uint32_t>& commands) {
  std::uint64_t from = 0;
  for (const std::uint32_t command : commands) {
    if (const int result =
            command == from ? 0 : refuse_range(filter, call, static_cast<std::uint32_t>(from), command - 1);
        result != 0) {
      return result;
    }
    from = std::uint64_t{command} + 1;
  }
  return refuse_range(filter, call, static_cast<std::uint32_t>(from), 0xffffffffU);
}

/// Number of refused calls, or a negative errno.
int refuse_by_name(scmp_filter_ctx filter, const Needs& needs) {
  int count = 0;
  for (const char* const name : kRefused) {
    const auto needed = std::ranges::find(needs.system_calls, name, &Needs::SystemCall::name);
    const bool is_needed = needed != needs.system_calls.end();
    const int call = seccomp_syscall_resolve_name(name);
    if (call < 0 || (is_needed && needed->commands.empty())) { // unknown, or not on this architecture
      continue;
    }
    if (is_needed) {
      if (const int result = refuse_other_commands(filter, call, needed->commands); result != 0) {
        return result;
      }
      continue;
    }
    if (const int result = seccomp_rule_add_array(filter, kAction, call, 0, nullptr); result != 0) {
      return result;
    }
    ++count;
  }
  return count;
}

} // namespace

Result<int> refuse_unused_system_calls(const Needs& needs) {
  const Filter filter{seccomp_init(SCMP_ACT_ALLOW), &seccomp_release};
  if (filter == nullptr) {
    return no_filter(-ENOMEM);
  }
  // The filter must not set no_new_privs itself.
  seccomp_attr_set(filter.get(), SCMP_FLTATR_CTL_NNP, 0);
  const int count = refuse_by_name(filter.get(), needs);
  int result = count < 0 ? count : refuse_new_namespaces(filter.get());
  if (result == 0 && !needs.network) {
    result = refuse_the_network(filter.get());
  }
  if (result == 0) {
    result = seccomp_load(filter.get());
  }
  return result == 0 ? Result<int>{count} : no_filter(result);
}

} // namespace vmemfs
