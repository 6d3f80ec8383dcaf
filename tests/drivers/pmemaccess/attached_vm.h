// SPDX-License-Identifier: MIT
// The driver, attached to a simulator.
#pragma once

#include "driver/driver_type.h"
#include "driver/params.h"
#include "drivers/pmemaccess/pmemaccess_type.h"
#include "simulators/pmemaccess/simulator.h"
#include "support/files.h"
#include "util/fd_watcher.h"
#include "util/worker.h"

#include <fmt/format.h>
#include <memory>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

namespace vmemfs::pmemaccess {

namespace sim = pmemaccess_simulator;

class AttachedVm {
public:
  explicit AttachedVm(const sim::Options& options = {}, const std::string& more = ",timeout=20s")
      : qemu{monitor(), options} {
    auto opened = open(fmt::format("qmp={}{}", monitor(), more));
    if (!opened) {
      throw std::runtime_error{opened.error().message()};
    }
    driver = std::move(*opened);
  }

  Result<std::unique_ptr<Driver>> open(const std::string& params) {
    const DriverType& type = pmemaccess_driver_type();
    return Params::parse(params, type.params()).and_then([&](const Params& parsed) {
      return type.open(parsed, {watcher, worker});
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
    return qemu.guest().bytes(address, size);
  }

  /// A read that gives all bytes, and the right ones.
  bool reads_well(std::uint64_t address, std::size_t size) {
    const ReadPiece piece = read(address, size);
    return piece.done == size && !piece.failure && buffer == truth(address, size);
  }

  [[nodiscard]] std::string monitor() const { return dir / "qmp"; }

  test::TempDir dir;
  FdWatcher watcher;
  Worker worker;
  sim::Simulator qemu;
  std::vector<std::byte> buffer;
  std::unique_ptr<Driver> driver;
};

} // namespace vmemfs::pmemaccess
