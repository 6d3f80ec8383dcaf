// SPDX-License-Identifier: MIT
// The driver `vbox` with a simulator of a VirtualBox that has the FDP patch.
#include "contract/driver_contract.h"
#include "drivers/all_drivers.h"
#include "simulators/fdp/simulator.h"

#include <chrono>
#include <fmt/format.h>
#include <stdexcept>

namespace vmemfs::test {
namespace {

class VboxSubject : public Subject {
public:
  explicit VboxSubject(const fdp_simulator::Options& options)
      : vm_{fdp_simulator::Simulator::unique_name(), options} {
    vm_.set_paused(true);
    auto driver =
        open_driver({"", "vbox", fmt::format("name={},timeout=20s", vm_.name())}, {watcher_, worker_});
    if (!driver) {
      throw std::runtime_error{driver.error().message()};
    }
    driver_ = std::move(*driver);
  }
  Driver& driver() override { return *driver_; }
  std::vector<std::byte> truth(Gpa gpa, std::size_t size) override {
    return vm_.guest().bytes(gpa.value(), size);
  }
  bool end_vm() override {
    vm_.end();
    return true;
  }

private:
  fdp_simulator::Simulator vm_;
  std::unique_ptr<Driver> driver_;
};

RegisteredSubject subject(const std::string& name, const fdp_simulator::Options& options) {
  return RegisteredSubject{{"vbox_" + name, [options] { return std::make_unique<VboxSubject>(options); }}};
}

const auto kNear = subject("simulator", {});
const auto kLater = subject("simulator_1ms", {.latency = std::chrono::milliseconds{1}});

} // namespace
} // namespace vmemfs::test
