// SPDX-License-Identifier: MIT
#include "drivers/kvm/kvm_type.h"

#include "drivers/kvm/api/resume_ticket.h"
#include "drivers/kvm/discovery/kvm_discovery.h"
#include "drivers/kvm/identity/vm_process.h"
#include "drivers/kvm/kvm_checks.h"
#include "drivers/kvm/kvm_driver.h"
#include "drivers/kvm/kvm_runtime.h"
#include "drivers/kvm/walk/load_error.h"

#include <limits>
#include <linux/bpf.h>
#include <linux/capability.h>
#include <sys/ptrace.h>
#include <sys/types.h>
#include <unistd.h>
#include <utility>

namespace vmemfs {
namespace {

const std::vector<ParamSpec>& specs() {
  static const std::vector<ParamSpec> kSpecs{
      {.name = "pid",
       .type = ParamType::number,
       .required = true,
       .help = "process ID of the program that runs the VM",
       .example = "4711",
       .range = {1, std::numeric_limits<pid_t>::max()}},
      {.name = "vm",
       .type = ParamType::number,
       .fallback = "0",
       .help = "which VM of the process, if it has several: 0 is the one with the lowest file descriptor",
       .example = "1",
       .range = {0, 1023}},
      {.name = "api",
       .type = ParamType::path,
       .help = "API socket of Firecracker or cloud-hypervisor, to pause and resume the VM by it",
       .example = "/run/firecracker.socket"},
  };
  return kSpecs;
}

Result<void> check_kvm() {
  if (::access("/sys/module/kvm", F_OK) != 0 && ::access("/dev/kvm", F_OK) != 0) {
    return fail(ErrorKind::unsupported, "kvm", "this kernel has no KVM; run modprobe kvm_intel or kvm_amd");
  }
  return kvm::check_before_load();
}

class KvmType : public DriverType {
public:
  std::string_view name() const override { return "kvm"; }
  std::string_view summary() const override {
    return "a VM of KVM of this host, whatever program runs it, such as Firecracker or cloud-hypervisor";
  }
  std::span<const ParamSpec> params() const override { return specs(); }
  std::string_view example() const override { return "kvm:pid=4711"; }

  /// With the rights that this process was started with: the mount asks first before it gives them up, and
  /// has what it needs by then.
  Result<void> available() const override {
    static const Result<void> kAvailable = check_kvm();
    return kAvailable;
  }

  Needs needs(const Params& /*params*/) const override {
    return {.capabilities = {{CAP_SYS_PTRACE, "memory and registers of other users' VMs"},
                             {CAP_DAC_OVERRIDE, "their memory files"},
                             {CAP_CHECKPOINT_RESTORE, "memory files that a VMM has closed"}},
            .system_calls = {{"process_vm_readv", "memory of a VMM"},
                             {"ptrace",
                              "registers and pause",
                              {PTRACE_CONT, PTRACE_GETREGS, PTRACE_DETACH, PTRACE_SEIZE, PTRACE_INTERRUPT}},
                             {"pidfd_getfd", "memory files of a VMM that have no path"},
                             {"mincore", "which pages of a memory file exist"},
                             {"bpf", "KVM's memory slots", {BPF_LINK_CREATE, BPF_ITER_CREATE}}}};
  }

  std::vector<HostCheck> checks(const std::shared_ptr<DriverRuntime>& runtime) const override {
    return kvm::check_vms(runtime);
  }

  std::shared_ptr<DriverRuntime> make_runtime() const override { return std::make_shared<kvm::KvmRuntime>(); }

  std::unique_ptr<Discovery> discovery(const Params& /*params*/,
                                       const std::shared_ptr<DriverRuntime>& runtime) const override {
    // In a container VMs have to be named: the kernel lists them by numbers that mean nothing there.
    return kvm::in_first_pid_namespace() ? std::make_unique<kvm::KvmDiscovery>(runtime) : nullptr;
  }

  Result<std::unique_ptr<Driver>> open(const Params& params, const DriverContext& context) const override {
    return kvm::KvmDriver::attach(
        {static_cast<pid_t>(params.number("pid")), params.number("vm"), params.text("api")}, context);
  }

  Result<void> resume_orphan(std::string_view ticket,
                             const std::shared_ptr<DriverRuntime>& /*runtime*/) const override {
    return kvm::parse_resume_ticket(ticket).and_then(kvm::resume_orphan);
  }
};

} // namespace

const DriverType& kvm_driver_type() {
  static const KvmType kType;
  return kType;
}

} // namespace vmemfs
