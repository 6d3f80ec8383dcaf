// SPDX-License-Identifier: MIT
#include "drivers/kvm/walk/load_error.h"

#include "core/text.h"
#include "host/process.h"

#include <array>
#include <bpf/libbpf.h>
#include <cerrno>
#include <cstdarg>
#include <cstdint>
#include <cstdio>
#include <fmt/format.h>
#include <linux/capability.h>
#include <sys/syscall.h>
#include <unistd.h>

namespace vmemfs::kvm {
namespace {

constexpr std::string_view kOrigin = "kvm";
constexpr std::string_view kRights = "it takes CAP_BPF and CAP_PERFMON, or CAP_SYS_ADMIN, when vmemfs is "
                                     "started, which gives them up afterwards; "
                                     "run vmemfs as root or as a service (packaging/vmemfs.service)";
constexpr const char* kTypes = "/sys/kernel/btf/vmlinux";

/// libbpf has one function for all messages of a process.
// NOLINTNEXTLINE(cppcoreguidelines-avoid-non-const-global-variables): see above
thread_local std::string last_message;

int keep_message(libbpf_print_level level, const char* format, va_list arguments) {
  if (level == LIBBPF_WARN) {
    std::array<char, 512> text{};
    // NOLINTNEXTLINE(clang-analyzer-valist.Uninitialized): of libbpf
    if (std::vsnprintf(text.data(), text.size(), format, arguments) > 0) {
      last_message = trim(text.data());
    }
  }
  return 0;
}

bool has(const __user_cap_data_struct (&sets)[2], unsigned capability) {
  return (sets[capability / 32].effective >> (capability % 32) & 1U) != 0;
}

/// Kernel lockdown, which keeps even root from reading kernel memory.
bool is_locked_down() {
  const auto text = read_proc_file("/sys/kernel/security/lockdown");
  return text && text->find("[confidentiality]") != std::string::npos;
}

} // namespace

bool may_load() {
  __user_cap_header_struct header{_LINUX_CAPABILITY_VERSION_3, 0};
  __user_cap_data_struct sets[2]{};
  if (::syscall(SYS_capget, &header, &sets) != 0) {
    return false;
  }
  return has(sets, CAP_SYS_ADMIN) || (has(sets, CAP_BPF) && has(sets, CAP_PERFMON));
}

Result<void> check_before_load() {
  if (::access(kTypes, F_OK) != 0) {
    return fail(
        ErrorKind::unsupported, kOrigin,
        fmt::format("cannot read KVM's tables: there is no {}; the kernel needs CONFIG_DEBUG_INFO_BTF",
                    kTypes));
  }
  if (!may_load()) {
    return fail(ErrorKind::permission, kOrigin, fmt::format("cannot read KVM's tables: {}", kRights));
  }
  return {};
}

LoaderMessages::LoaderMessages() {
  last_message.clear();
  ::libbpf_set_print(&keep_message);
}

LoaderMessages::~LoaderMessages() { ::libbpf_set_print(nullptr); }

std::string LoaderMessages::last() const { return last_message; }

tl::unexpected<Error> load_error(int os_errno, std::string_view message) {
  if (is_locked_down()) {
    return fail(
        ErrorKind::permission, kOrigin,
        "cannot read KVM's tables: the kernel is locked down (confidentiality), so that no program may "
        "read its memory; boot with lockdown=integrity or without lockdown");
  }
  if (os_errno == EPERM || os_errno == EACCES) {
    return fail(ErrorKind::permission, kOrigin, fmt::format("cannot read KVM's tables: {}", kRights));
  }
  if (os_errno == ENOSYS) {
    return fail(ErrorKind::unsupported, kOrigin,
                "cannot read KVM's tables: the kernel has no BPF; it needs CONFIG_BPF_SYSCALL");
  }
  Error error = fail_errno(os_errno, kOrigin, "cannot read KVM's tables").value();
  error.kind = ErrorKind::unsupported;
  error.text += fmt::format("; it takes Linux 6.1 or newer with KVM's types in {}{}{}", kTypes,
                            message.empty() ? "" : "; libbpf says: ", printable(message, 300));
  return tl::unexpected{std::move(error)};
}

} // namespace vmemfs::kvm
