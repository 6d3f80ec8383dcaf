// SPDX-License-Identifier: MIT
// The driver `pmemaccess` with a simulator of a patched QEMU: the patches are for QEMUs of before 2020.
#include "contract/driver_contract.h"
#include "drivers/all_drivers.h"
#include "simulators/pmemaccess/simulator.h"
#include "support/files.h"

#include <chrono>
#include <cstdint>
#include <fmt/format.h>
#include <optional>
#include <stdexcept>

namespace vmemfs::test {
namespace {

class PmemaccessSubject : public Subject {
public:
  explicit PmemaccessSubject(const pmemaccess_simulator::Options& options) : qemu_{dir_ / "qmp", options} {
    auto driver =
        open_driver({"", "pmemaccess", fmt::format("qmp={},timeout=20s", dir_ / "qmp")}, {watcher_, worker_});
    if (!driver) {
      throw std::runtime_error{driver.error().message()};
    }
    driver_ = std::move(*driver);
    qemu_.set_running(false);
  }
  Driver& driver() override { return *driver_; }
  std::vector<std::byte> truth(Gpa gpa, std::size_t size) override {
    return qemu_.guest().bytes(gpa.value(), size);
  }
  std::optional<std::uint64_t> round_trips() override { return qemu_.seen().reads; }
  bool end_vm() override {
    qemu_.end();
    return true;
  }

private:
  TempDir dir_;
  pmemaccess_simulator::Simulator qemu_;
  std::unique_ptr<Driver> driver_;
};

RegisteredSubject subject(const std::string& name, const pmemaccess_simulator::Options& options) {
  return RegisteredSubject{
      {"pmemaccess_" + name, [options] { return std::make_unique<PmemaccessSubject>(options); }}};
}

const auto kNear = subject("simulator", {});
const auto kLater = subject("simulator_1ms", {.latency = std::chrono::milliseconds{1}});
const auto kOlder = subject("simulator_u8", {.variant = pmemaccess_simulator::Variant::u8});

} // namespace
} // namespace vmemfs::test
