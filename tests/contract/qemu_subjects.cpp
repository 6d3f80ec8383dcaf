// SPDX-License-Identifier: MIT
// Subjects that are real QEMU guests, paused by the test's own monitor.
#include "contract/driver_contract.h"
#include "drivers/all_drivers.h"
#include "support/qemu_guest.h"

#include <csignal>
#include <fmt/format.h>

namespace vmemfs::test {
namespace {

class QemuSubject : public Subject {
public:
  QemuSubject(const GuestOptions& options, const std::string& params)
      : guest_{options}, has_monitor_{options.monitor_for_driver} {
    guest_.pause();
    const char* const timeout = params.find("timeout=") == std::string::npos ? ",timeout=20s" : "";
    const VmSpec spec{"", "qemu", fmt::format("pid={}{}{}", guest_.pid(), params, timeout)};
    auto driver = open_driver(spec, {watcher_, worker_});
    if (!driver) {
      throw std::runtime_error{driver.error().message()};
    }
    driver_ = std::move(*driver);
  }
  Driver& driver() override { return *driver_; }
  std::vector<std::byte> truth(Gpa gpa, std::size_t size) override {
    return guest_.pmemsave(gpa.value(), size);
  }
  std::optional<VcpuId> plug_vcpu() override {
    if (!has_monitor_) {
      return std::nullopt;
    }
    guest_.plug_vcpu(3);
    return VcpuId{3};
  }
  bool end_vm() override {
    guest_.process().signal(SIGKILL);
    return true;
  }

private:
  QemuGuest guest_;
  const bool has_monitor_;
  std::unique_ptr<Driver> driver_;
};

GuestOptions two_vcpus() {
  GuestOptions options;
  options.extra = {"-smp", "2,maxcpus=4", "-vga", "std"};
  return options;
}

} // namespace

SubjectKind qemu_private_subject() {
  return {"qemu_private", [] { return std::make_unique<QemuSubject>(two_vcpus(), ""); }};
}
SubjectKind qemu_shared_subject() {
  return {"qemu_shared", [] {
            GuestOptions options = two_vcpus();
            options.machine = "q35,memory-backend=m0";
            options.extra.insert(options.extra.end(),
                                 {"-object", "memory-backend-memfd,id=m0,size=64M,share=on"});
            return std::make_unique<QemuSubject>(options, "");
          }};
}
SubjectKind qemu_without_monitor_subject() {
  return {"qemu_without_monitor", [] {
            GuestOptions options = two_vcpus();
            options.monitor_for_driver = false;
            return std::make_unique<QemuSubject>(options, ",timeout=500ms");
          }};
}

} // namespace vmemfs::test
