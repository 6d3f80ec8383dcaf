// SPDX-License-Identifier: MIT
#include "fs/app/system_call_filter.h"

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

// Names instead of numbers: the kernel's headers here may not know all of them. Those that libseccomp does
// not know, or this machine does not have, are left out.
constexpr std::array kRefused{
#ifndef VMEMFS_SANITIZED // the search for leaks traces its own process, and the start of a program sets its
                         // layout
    "ptrace", "personality",
#endif
    // other processes: they are read, and written through /proc/PID/mem
    "process_vm_writev", "process_madvise", "kcmp", "move_pages", "migrate_pages",
    // mounting is the mounter's
    "mount", "umount", "umount2", "pivot_root", "chroot", "open_tree", "move_mount", "fsopen", "fsconfig",
    "fsmount", "fspick", "mount_setattr", "quotactl", "quotactl_fd",
    // namespaces, of which a new one comes with all capabilities in it; see also refuse_new_namespaces()
    "setns", "unshare",
    // the kernel itself
    "init_module", "finit_module", "delete_module", "kexec_load", "kexec_file_load", "bpf", "perf_event_open",
    "reboot", "swapon", "swapoff", "acct", "syslog", "lookup_dcookie", "nfsservctl", "vhangup", "uselib",
    "create_module", "get_kernel_syms", "query_module", "_sysctl", "sysfs", "ustat",
    // parts of the kernel that often had holes, and that nothing here uses
    "userfaultfd", "io_uring_setup", "io_uring_enter", "io_uring_register", "add_key", "request_key",
    "keyctl", "vmsplice", "fanotify_init", "landlock_create_ruleset",
    // other users and rights; but capset() stays, which can only give up more here, as libvirt does before it
    // starts ssh
    "setuid", "setgid", "setreuid", "setregid", "setresuid", "setresgid", "setfsuid", "setfsgid", "setgroups",
    "setuid32", "setgid32", "setreuid32", "setregid32", "setresuid32", "setresgid32", "setfsuid32",
    "setfsgid32", "setgroups32",
    // files by other ways than their path
    "open_by_handle_at", "name_to_handle_at", "execveat", "mknod", "mknodat",
    // the machine
    "settimeofday", "clock_settime", "clock_adjtime", "adjtimex", "stime", "sethostname", "setdomainname",
    "iopl", "ioperm", "modify_ldt"};

using Filter = std::unique_ptr<void, decltype(&seccomp_release)>;

constexpr std::uint32_t kAction = SCMP_ACT_ERRNO(EPERM);

/// An Error for libseccomp's return value, which is a negative errno.
tl::unexpected<Error> no_filter(int result) {
  return fail(ErrorKind::unsupported, kOrigin,
              fail_errno(-result, kOrigin, "no filter of system calls").value().text);
}

/// A fork or a thread with flags for new namespaces. What clone3 is asked for lies in memory, where no filter
/// looks: the C library takes clone() instead where it finds no clone3().
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

/// Monitors and the log are UNIX sockets.
int refuse_the_network(scmp_filter_ctx filter) {
  const scmp_arg_cmp other_family{0, SCMP_CMP_NE, AF_UNIX, 0};
  return seccomp_rule_add_array(filter, SCMP_ACT_ERRNO(EAFNOSUPPORT), SCMP_SYS(socket), 1, &other_family);
}

/// How many were refused, or a negative errno.
int refuse_by_name(scmp_filter_ctx filter) {
  int count = 0;
  for (const char* const name : kRefused) {
    const int call = seccomp_syscall_resolve_name(name);
    if (call < 0) { // unknown, or not on this machine
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

Result<int> refuse_unused_system_calls(bool network) {
  const Filter filter{seccomp_init(SCMP_ACT_ALLOW), &seccomp_release};
  if (filter == nullptr) {
    return no_filter(-ENOMEM);
  }
  // Setting no_new_privs is not for the filter to do.
  seccomp_attr_set(filter.get(), SCMP_FLTATR_CTL_NNP, 0);
  const int count = refuse_by_name(filter.get());
  int result = count < 0 ? count : refuse_new_namespaces(filter.get());
  if (result == 0 && !network) {
    result = refuse_the_network(filter.get());
  }
  if (result == 0) {
    result = seccomp_load(filter.get());
  }
  return result == 0 ? Result<int>{count} : no_filter(result);
}

} // namespace vmemfs
