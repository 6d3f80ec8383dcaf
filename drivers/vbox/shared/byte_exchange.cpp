// SPDX-License-Identifier: MIT
#include "drivers/vbox/shared/byte_exchange.h"

#include <csignal>
#include <ucontext.h>

#ifdef __x86_64__

// Not an inline one: a compiler may copy that, and then there would be several addresses.
asm(R"(
  .pushsection .text
  .globl vmemfs_exchange
  .hidden vmemfs_exchange
  .type vmemfs_exchange, @function
  .globl vmemfs_exchange_failed
  .hidden vmemfs_exchange_failed
  .p2align 4
vmemfs_exchange:
  .cfi_startproc
  xchgb %sil, (%rdi)
  movzbl %sil, %eax
  ret
vmemfs_exchange_failed:
  movl $-1, %eax
  ret
  .cfi_endproc
  .size vmemfs_exchange, .-vmemfs_exchange
  .popsection
)");

/// The exchange is its first instruction. -1: it failed.
extern "C" int vmemfs_exchange(std::uint8_t* at, unsigned value);
/// Where it goes on if it fails; never called.
extern "C" void vmemfs_exchange_failed();

namespace vmemfs::vbox {
namespace {

template <typename Function> greg_t address_of(Function* function) {
  return reinterpret_cast<greg_t>(function);
}

/// What SIGBUS did before.
const struct sigaction& former_action() {
  static const struct sigaction kFormer = [] {
    struct sigaction now {};
    ::sigaction(SIGBUS, nullptr, &now);
    return now;
  }();
  return kFormer;
}

void on_bus_error(int signal, siginfo_t* info, void* context) {
  greg_t& instruction = static_cast<ucontext_t*>(context)->uc_mcontext.gregs[REG_RIP];
  const bool is_fault = info->si_code > 0; // not sent by a process
  if (is_fault && instruction == address_of(&vmemfs_exchange)) {
    instruction = address_of(&vmemfs_exchange_failed);
    return;
  }
  ::sigaction(SIGBUS, &former_action(), nullptr); // the instruction faults again
  if (!is_fault) {
    static_cast<void>(::raise(signal));
  }
}

/// Once in a process, and never undone: it changes nothing for others.
bool install_handler() {
  static_cast<void>(former_action()); // before the handler can need it
  struct sigaction action {};
  action.sa_sigaction = &on_bus_error;
  action.sa_flags = SA_SIGINFO | SA_RESTART | SA_ONSTACK;
  sigemptyset(&action.sa_mask);
  return ::sigaction(SIGBUS, &action, nullptr) == 0;
}

/// Threads of vmemfs block all signals, and the kernel ends a process whose fault is blocked.
class BusErrorsUnblocked {
public:
  BusErrorsUnblocked() {
    sigset_t bus;
    sigemptyset(&bus);
    sigaddset(&bus, SIGBUS);
    pthread_sigmask(SIG_UNBLOCK, &bus, &before_);
  }
  ~BusErrorsUnblocked() { pthread_sigmask(SIG_SETMASK, &before_, nullptr); }
  BusErrorsUnblocked(const BusErrorsUnblocked&) = delete;
  BusErrorsUnblocked& operator=(const BusErrorsUnblocked&) = delete;

private:
  sigset_t before_;
};

} // namespace

bool can_exchange_bytes() {
  static const bool kInstalled = install_handler();
  return kInstalled;
}

std::optional<std::uint8_t> exchange_byte(std::uint8_t* at, std::uint8_t value) {
  if (!can_exchange_bytes()) {
    return std::nullopt;
  }
  const BusErrorsUnblocked unblocked;
  const int before = vmemfs_exchange(at, value);
  return before < 0 ? std::nullopt : std::optional{static_cast<std::uint8_t>(before)};
}

} // namespace vmemfs::vbox

#else

namespace vmemfs::vbox {

bool can_exchange_bytes() { return false; }
std::optional<std::uint8_t> exchange_byte(std::uint8_t* /*at*/, std::uint8_t /*value*/) {
  return std::nullopt;
}

} // namespace vmemfs::vbox

#endif
