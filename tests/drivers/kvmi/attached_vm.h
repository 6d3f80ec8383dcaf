// SPDX-License-Identifier: MIT
// A VM of the simulator with the driver `kvmi` attached to it.
#pragma once

#include "driver/driver_type.h"
#include "driver/params.h"
#include "drivers/kvmi/kvmi_type.h"
#include "simulators/kvmi/simulator.h"
#include "support/files.h"
#include "util/fd_watcher.h"
#include "util/worker.h"

#include <atomic>
#include <fmt/format.h>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace vmemfs::kvmi {

/// Counts what a driver reports.
struct Reports : VmListener {
  void on_vm_event(VmEvent event) override {
    gone = gone || event == VmEvent::gone;
    unclear += event == VmEvent::state_unclear ? 1 : 0;
    layouts += event == VmEvent::layout_changed ? 1 : 0;
    vcpus += event == VmEvent::vcpus_changed ? 1 : 0;
  }
  std::atomic<bool> gone{false};
  std::atomic<int> unclear{0};
  std::atomic<int> layouts{0};
  std::atomic<int> vcpus{0};
};

class AttachedVm {
public:
  explicit AttachedVm(kvmi_simulator::Options options = {}, const kvmi_simulator::GuestOptions& guest = {})
      : guest_{std::make_shared<kvmi_simulator::Guest>(guest)} {
    options.socket = socket();
    simulator_ = std::make_unique<kvmi_simulator::Simulator>(guest_, std::move(options));
  }
  ~AttachedVm() {
    if (driver_ != nullptr) {
      driver_->set_listener(nullptr);
    }
  }
  AttachedVm(const AttachedVm&) = delete;
  AttachedVm& operator=(const AttachedVm&) = delete;

  /// Parameters beside the socket.
  Result<void> attach(const std::string& params = "domain=simulated,timeout=60s,wait=60s") {
    auto checked = Params::parse(fmt::format("socket={},{}", socket(), params), kvmi_driver_type().params());
    if (!checked) {
      return tl::unexpected{checked.error()};
    }
    auto driver = kvmi_driver_type().open(*checked, {watcher_, worker_});
    if (!driver) {
      return tl::unexpected{driver.error()};
    }
    driver_ = std::move(*driver);
    driver_->set_listener(&reports_);
    return {};
  }
  void detach() { driver_.reset(); }

  [[nodiscard]] std::string socket() const { return dir_ / "kvmi.sock"; }
  [[nodiscard]] Driver& driver() { return *driver_; }
  [[nodiscard]] RunControl& control() { return *driver_->run_control(); }
  [[nodiscard]] kvmi_simulator::Guest& guest() { return *guest_; }
  [[nodiscard]] kvmi_simulator::Simulator& simulator() { return *simulator_; }
  [[nodiscard]] Reports& reports() { return reports_; }

  struct Bytes {
    std::vector<std::byte> bytes;
    std::optional<ErrorKind> failure;
  };
  [[nodiscard]] Bytes read(std::uint64_t gpa, std::size_t size) {
    std::vector<std::byte> buffer(size);
    ReadPiece piece{Gpa{gpa}, buffer, 0, std::nullopt};
    driver_->read({&piece, 1});
    buffer.resize(piece.done);
    return {std::move(buffer), piece.failure};
  }
  [[nodiscard]] bool reads(std::uint64_t gpa = 0x100000, std::size_t size = 8192) {
    return read(gpa, size).bytes == guest_->bytes(gpa, size);
  }

private:
  test::TempDir dir_;
  FdWatcher watcher_;
  Worker worker_;
  Reports reports_;
  std::shared_ptr<kvmi_simulator::Guest> guest_;
  std::unique_ptr<kvmi_simulator::Simulator> simulator_;
  std::unique_ptr<Driver> driver_;
};

} // namespace vmemfs::kvmi
