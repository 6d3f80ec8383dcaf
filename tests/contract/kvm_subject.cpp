// SPDX-License-Identifier: MIT
// The driver `kvm` with VMs of a VMM that knows nothing of it.
#include "contract/driver_contract.h"
#ifdef VMEMFS_WITH_KVM
#include "driver/driver_list.h"
#include "driver/driver_runtimes.h"
#include "drivers/all_drivers.h"
#include "support/kvm/kvm_vmm.h"

#include <csignal>
#include <fmt/format.h>
#include <optional>
#include <stdexcept>

namespace vmemfs::test {
namespace {

/// Loads the BPF program once, not for each test: that takes a second on an emulated host.
const DriverRuntimes& runtimes() {
  static const DriverType* const type = find_driver(all_drivers(), "kvm");
  static const DriverRuntimes of_kvm{{&type, 1}};
  return of_kvm;
}

class KvmSubject : public Subject {
public:
  explicit KvmSubject(const std::string& memory) : vmm_{{.memory = memory, .vcpus = 2}} {
    auto driver =
        open_driver({"", "kvm", fmt::format("pid={}", vmm_.pid())}, {watcher_, worker_, &runtimes()});
    if (!driver) {
      throw std::runtime_error{driver.error().message()};
    }
    driver_ = std::move(*driver);
    if (const auto paused = driver_->run_control()->pause(); !paused) {
      throw std::runtime_error{paused.error().message()};
    }
  }
  Driver& driver() override { return *driver_; }
  std::vector<std::byte> truth(Gpa gpa, std::size_t size) override { return vmm_.truth(gpa.value(), size); }
  bool end_vm() override {
    vmm_.process().signal(SIGKILL);
    static_cast<void>(vmm_.process().wait(std::chrono::seconds{30}));
    return true;
  }

private:
  KvmVmm vmm_;
  std::unique_ptr<Driver> driver_;
};

/// Nothing where no VM of KVM can be read.
std::optional<RegisteredSubject> subject(const std::string& memory) {
  if (why_no_kvm()) {
    return std::nullopt;
  }
  return RegisteredSubject{{"kvm_" + memory, [memory] { return std::make_unique<KvmSubject>(memory); }}};
}

const auto kPrivate = subject("private");
const auto kShared = subject("memfd");
const auto kRestored = subject("snapshot");

} // namespace
} // namespace vmemfs::test
#endif
