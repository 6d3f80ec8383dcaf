// SPDX-License-Identifier: MIT
// The driver, attached to a simulator.
#pragma once

#include "driver/driver_type.h"
#include "driver/params.h"
#include "drivers/vbox/vbox_type.h"
#include "simulators/fdp/simulator.h"
#include "support/event_counts.h"
#include "util/fd_watcher.h"
#include "util/worker.h"

#include <fmt/format.h>
#include <memory>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

namespace vmemfs::vbox {

namespace sim = fdp_simulator;

class AttachedVm {
public:
  explicit AttachedVm(const sim::Options& options = {}, const std::string& more = ",timeout=20s")
      : vm{sim::Simulator::unique_name(), options} {
    auto opened = open(more);
    if (!opened) {
      throw std::runtime_error{opened.error().message()};
    }
    driver = std::move(*opened);
    driver->set_listener(&events);
  }
  ~AttachedVm() { driver->set_listener(nullptr); }
  AttachedVm(const AttachedVm&) = delete;
  AttachedVm& operator=(const AttachedVm&) = delete;

  Result<std::unique_ptr<Driver>> open(const std::string& more = ",timeout=20s") {
    return open_vm(fmt::format("name={}{}", vm.name(), more), {watcher, worker});
  }

  static Result<std::unique_ptr<Driver>> open_vm(const std::string& params, const DriverContext& context) {
    const DriverType& type = vbox_driver_type();
    return Params::parse(params, type.params()).and_then([&](const Params& parsed) {
      return type.open(parsed, context);
    });
  }

  /// One piece; the buffer is what it was before, but for the bytes that are done.
  ReadPiece read(std::uint64_t address, std::size_t size) {
    buffer.assign(size, std::byte{0xee});
    ReadPiece piece{Gpa{address}, buffer, 0, std::nullopt};
    driver->read({&piece, 1});
    return piece;
  }

  std::vector<std::byte> truth(std::uint64_t address, std::size_t size) {
    return vm.guest().bytes(address, size);
  }

  /// A read that gives all bytes, and the right ones.
  bool reads_well(std::uint64_t address, std::size_t size) {
    const ReadPiece piece = read(address, size);
    return piece.done == size && !piece.failure && buffer == truth(address, size);
  }

  FdWatcher watcher;
  Worker worker;
  test::EventCounts events;
  sim::Simulator vm;
  std::vector<std::byte> buffer;
  std::unique_ptr<Driver> driver;
};

} // namespace vmemfs::vbox
