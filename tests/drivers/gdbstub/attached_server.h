// SPDX-License-Identifier: MIT
// Scripted server with a driver instance attached to it.
#pragma once

#include "drivers/gdbstub/gdbstub_type.h"
#include "tests/drivers/gdbstub/scripted_server.h"
#include "util/fd_watcher.h"
#include "util/worker.h"

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <fmt/format.h>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

namespace vmemfs::gdbstub {

struct EventCounter : VmListener {
  void on_vm_event(VmEvent event) override {
    gone = gone || event == VmEvent::gone;
    paused += event == VmEvent::paused ? 1 : 0;
    resumed += event == VmEvent::resumed ? 1 : 0;
  }
  std::atomic<bool> gone{false};
  std::atomic<int> paused{0};
  std::atomic<int> resumed{0};
};

class AttachedServer {
public:
  /// `params` are additional parameters of the driver. Without a timeout among them it is one that a busy
  /// host does not reach.
  explicit AttachedServer(Script script, const std::string& params = "") : server_{std::move(script)} {
    auto opened = open(params);
    if (!opened) {
      throw std::runtime_error{opened.error().message()};
    }
    driver_ = std::move(*opened);
    driver_->set_listener(&events_);
  }
  AttachedServer(const AttachedServer&) = delete;
  AttachedServer& operator=(const AttachedServer&) = delete;
  ~AttachedServer() {
    if (driver_ != nullptr) {
      driver_->set_listener(nullptr);
    }
  }

  [[nodiscard]] Result<std::unique_ptr<Driver>> open(const std::string& params) {
    const DriverType& type = gdbstub_driver_type();
    const char* const timeout = params.find("timeout=") == std::string::npos ? ",timeout=60s" : "";
    const auto parsed =
        Params::parse(fmt::format("address={}{}{}", server_.address(), params, timeout), type.params());
    return type.open(parsed.value(), {watcher_, worker_});
  }

  [[nodiscard]] ScriptedServer& server() { return server_; }
  [[nodiscard]] Driver& driver() { return *driver_; }
  [[nodiscard]] RunControl& control() { return *driver_->run_control(); }
  [[nodiscard]] FdWatcher& watcher() { return watcher_; }
  [[nodiscard]] EventCounter& events() { return events_; }
  void detach() {
    driver_->set_listener(nullptr);
    driver_.reset();
  }

  /// The piece, after a read into a buffer of our own.
  ReadPiece read(std::uint64_t address, std::size_t size) {
    buffer_.assign(size, std::byte{0xee});
    ReadPiece piece{Gpa{address}, buffer_, 0, std::nullopt};
    driver_->read({&piece, 1});
    return piece;
  }

  /// Whether a read gives the bytes that are there.
  [[nodiscard]] bool reads_right(std::uint64_t address, std::size_t size) {
    const ReadPiece piece = read(address, size);
    return !piece.failure && is_right(address, size);
  }

  /// Whether the first bytes of the last read are those at the address.
  [[nodiscard]] bool is_right(std::uint64_t address, std::size_t size) const {
    for (std::size_t i = 0; i < size; ++i) {
      if (buffer_[i] != byte_at(address + i)) {
        return false;
      }
    }
    return true;
  }

private:
  ScriptedServer server_;
  FdWatcher watcher_;
  Worker worker_;
  EventCounter events_;
  std::vector<std::byte> buffer_;
  std::unique_ptr<Driver> driver_;
};

} // namespace vmemfs::gdbstub
