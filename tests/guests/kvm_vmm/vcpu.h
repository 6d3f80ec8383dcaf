// SPDX-License-Identifier: MIT
// A vCPU of kvm_vmm, with its thread.
#pragma once

#include <condition_variable>
#include <cstddef>
#include <fstream>
#include <linux/kvm.h>
#include <mutex>
#include <pthread.h>
#include <string_view>

namespace vmemfs::test::kvm_vmm {

/// Ends the program, with a line that says what failed.
[[noreturn]] void give_up(std::string_view what);
/// Gives up if `result` is negative.
int checked(int result, std::string_view what);

class Vcpu {
public:
  /// With the guest's program in `ram`. It does not run yet.
  Vcpu(int kvm, int vm, unsigned id, bool ports, std::byte* ram);

  /// `stopped`: it runs for the first time after stop(false).
  void start(bool stopped);
  /// Returns once its thread is outside of KVM_RUN, or may enter it again.
  void stop(bool stopped);
  void write_registers(std::ofstream& file) const;

private:
  void set_registers() const;
  [[noreturn]] void run();

  const unsigned id_;
  const int vcpu_;
  kvm_run* page_ = nullptr;
  pthread_t thread_{};
  std::mutex mutex_;
  std::condition_variable changed_;
  bool stop_ = false;
  bool is_stopped_ = false;
};

} // namespace vmemfs::test::kvm_vmm
