// SPDX-License-Identifier: MIT
// The driver `kvmi` with VMs of a simulator that knows nothing of it.
#include "contract/driver_contract.h"
#include "drivers/all_drivers.h"
#include "simulators/kvmi/simulator.h"
#include "support/files.h"

#include <chrono>
#include <cstdint>
#include <fmt/format.h>
#include <optional>
#include <stdexcept>
#include <utility>

namespace vmemfs::test {
namespace {

class KvmiSubject : public Subject {
public:
  KvmiSubject(kvmi_simulator::Dialect dialect, std::chrono::microseconds latency)
      : simulator_{
            std::make_shared<kvmi_simulator::Guest>(kvmi_simulator::GuestOptions{
                .name = "contract", .ram = {{0, 0x9f000}, {0x100000, 0x700000}, {0xfffc0000, 0x40000}}}),
            {.socket = dir_ / "kvmi.sock", .dialect = dialect, .latency = latency}} {
    auto driver = open_driver(
        {"", "kvmi",
         fmt::format("socket={},domain=contract,timeout=60s,wait=60s,reconnect=100ms", dir_ / "kvmi.sock")},
        {watcher_, worker_});
    if (!driver) {
      throw std::runtime_error{driver.error().message()};
    }
    driver_ = std::move(*driver);
    if (const auto paused = driver_->run_control()->pause(); !paused) {
      throw std::runtime_error{paused.error().message()};
    }
  }
  Driver& driver() override { return *driver_; }
  std::vector<std::byte> truth(Gpa gpa, std::size_t size) override {
    return simulator_.guest().bytes(gpa.value(), size);
  }
  std::optional<std::uint64_t> round_trips() override { return simulator_.seen().flights; }
  unsigned max_trips_per_mebibyte() const override { return 2; }
  bool end_vm() override {
    simulator_.end();
    return true;
  }

private:
  TempDir dir_;
  kvmi_simulator::Simulator simulator_;
  std::unique_ptr<Driver> driver_;
};

RegisteredSubject subject(const std::string& name, kvmi_simulator::Dialect dialect, int latency_us) {
  return RegisteredSubject{
      {"kvmi_" + name,
       [=] { return std::make_unique<KvmiSubject>(dialect, std::chrono::microseconds{latency_us}); }}};
}

const auto kTree = subject("tree", kvmi_simulator::Dialect::tree, 0);
const auto kV12 = subject("v12", kvmi_simulator::Dialect::v12, 0);
const auto kSlow = subject("tree_1ms", kvmi_simulator::Dialect::tree, 1000);

} // namespace
} // namespace vmemfs::test
