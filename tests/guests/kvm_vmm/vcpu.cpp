// SPDX-License-Identifier: MIT
#include "guests/kvm_vmm/vcpu.h"

#include "guests/kvm_vmm/layout.h"

#include <array>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <iostream>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <string>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <system_error>
#include <thread>
#include <unistd.h>
#include <vector>

namespace vmemfs::test::kvm_vmm {
namespace {

/// Real mode: inc dword [counter]; mov [counter + 8], ebx; with ports out 0x10, al; and again.
std::vector<unsigned char> program(std::uint64_t counter, bool ports) {
  const auto low = [](std::uint64_t address) { return static_cast<unsigned char>(address); };
  const auto high = [](std::uint64_t address) { return static_cast<unsigned char>(address >> 8U); };
  std::vector<unsigned char> code{0x66, 0xff, 0x06, low(counter),     high(counter),
                                  0x66, 0x89, 0x1e, low(counter + 8), high(counter + 8)};
  if (ports) {
    code.insert(code.end(), {0xe6, 0x10});
  }
  code.push_back(0xeb);
  code.push_back(static_cast<unsigned char>(-static_cast<int>(code.size() + 1)));
  return code;
}

/// As strict VMMs do: another system call than these ends the process.
void kill_on_other_calls() {
  constexpr std::array kAllowed{SYS_ioctl,       SYS_futex,          SYS_rt_sigreturn, SYS_rt_sigprocmask,
                                SYS_exit,        SYS_munmap,         SYS_madvise,      SYS_mmap,
                                SYS_sched_yield, SYS_restart_syscall};
  std::vector<sock_filter> filter{BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr))};
  for (const long call : kAllowed) {
    filter.push_back(BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, static_cast<std::uint32_t>(call), 0, 1));
    filter.push_back(BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW));
  }
  filter.push_back(BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS));
  const sock_fprog all{static_cast<unsigned short>(filter.size()), filter.data()};
  checked(::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), "PR_SET_NO_NEW_PRIVS");
  checked(::prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &all), "PR_SET_SECCOMP");
}

} // namespace

void give_up(std::string_view what) {
  std::cout << "error: " << what << ": " << std::generic_category().message(errno) << std::endl;
  std::_Exit(1);
}

int checked(int result, std::string_view what) {
  if (result < 0) {
    give_up(what);
  }
  return result;
}

Vcpu::Vcpu(int kvm, int vm, unsigned id, bool ports, std::byte* ram)
    : id_{id}, vcpu_{checked(::ioctl(vm, KVM_CREATE_VCPU, id), "KVM_CREATE_VCPU")} {
  const int size = checked(::ioctl(kvm, KVM_GET_VCPU_MMAP_SIZE, 0), "KVM_GET_VCPU_MMAP_SIZE");
  void* const page =
      ::mmap(nullptr, static_cast<std::size_t>(size), PROT_READ | PROT_WRITE, MAP_SHARED, vcpu_, 0);
  if (page == MAP_FAILED) {
    give_up("mmap");
  }
  page_ = static_cast<kvm_run*>(page);
  const auto code = program(counter_of(id), ports);
  std::memcpy(ram + code_of(id), code.data(), code.size());
  std::memset(ram + counter_of(id), 0, 16);
  set_registers();
}

void Vcpu::set_registers() const {
  kvm_sregs segments{};
  checked(::ioctl(vcpu_, KVM_GET_SREGS, &segments), "KVM_GET_SREGS");
  segments.cs.base = 0;
  segments.cs.selector = 0;
  checked(::ioctl(vcpu_, KVM_SET_SREGS, &segments), "KVM_SET_SREGS");
  kvm_regs registers{};
  registers.rip = code_of(id_);
  registers.rflags = 2;
  registers.rbx = 0x1000 + id_;
  checked(::ioctl(vcpu_, KVM_SET_REGS, &registers), "KVM_SET_REGS");
}

void Vcpu::start(bool stopped) {
  stop_ = stopped;
  std::thread thread{[this] { run(); }};
  thread_ = thread.native_handle();
  thread.detach();
}

void Vcpu::stop(bool stopped) {
  std::unique_lock lock{mutex_};
  stop_ = stopped;
  changed_.notify_all();
  while (stopped && !is_stopped_) {
    ::pthread_kill(thread_, SIGUSR1);
    changed_.wait_for(lock, std::chrono::milliseconds{10});
  }
}

void Vcpu::write_registers(std::ofstream& file) const {
  kvm_regs general{};
  kvm_sregs system{};
  checked(::ioctl(vcpu_, KVM_GET_REGS, &general), "KVM_GET_REGS");
  checked(::ioctl(vcpu_, KVM_GET_SREGS, &system), "KVM_GET_SREGS");
  file.write(reinterpret_cast<const char*>(&general), sizeof(general));
  file.write(reinterpret_cast<const char*>(&system), sizeof(system));
}

void Vcpu::run() {
  static_cast<void>(::nice(19)); // a guest never waits; a test would, on a host with one CPU
  kill_on_other_calls();
  for (;;) {
    {
      std::unique_lock lock{mutex_};
      is_stopped_ = stop_;
      changed_.notify_all();
      changed_.wait(lock, [this] { return !stop_; });
      is_stopped_ = false;
    }
    if (::ioctl(vcpu_, KVM_RUN, 0) < 0) {
      if (errno != EINTR) {
        give_up("KVM_RUN");
      }
    } else if (page_->exit_reason != KVM_EXIT_IO) {
      errno = 0;
      give_up("KVM_RUN ended with " + std::to_string(page_->exit_reason));
    }
  }
}

} // namespace vmemfs::test::kvm_vmm
