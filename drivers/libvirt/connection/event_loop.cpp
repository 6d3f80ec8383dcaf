// SPDX-License-Identifier: MIT
#include "drivers/libvirt/connection/event_loop.h"

#include "util/log.h"
#include "util/signals.h"

#include <atomic>
#include <chrono>
#include <cstdlib>
#include <libvirt/libvirt.h>
#include <libvirt/virterror.h>
#include <thread>

namespace vmemfs::libvirt {
namespace {

/// A process of ours has few rights, and so would a libvirtd that it starts. Besides, discovery must not
/// start anything. Set here, because the environment may only be changed before there are threads.
// NOLINTNEXTLINE(concurrency-mt-unsafe)
[[maybe_unused]] const bool kNoAutostart = ::setenv("LIBVIRT_AUTOSTART", "0", 1) == 0;

class EventLoop {
public:
  EventLoop() {
    if (virInitialize() < 0 || virEventRegisterDefaultImpl() < 0) {
      log::error("libvirt: cannot initialize: {}", virGetLastErrorMessage());
      return;
    }
    virSetErrorFunc(nullptr, [](void*, virErrorPtr) {});
    wake_ = virEventAddTimeout(
        -1, [](int timer, void*) { virEventUpdateTimeout(timer, -1); }, nullptr, nullptr);
    const SignalsBlocked blocked;
    thread_ = std::thread{[this] { run(); }};
  }

  ~EventLoop() {
    stop_ = true;
    virEventUpdateTimeout(wake_, 0);
    if (thread_.joinable()) {
      thread_.join();
    }
  }

  EventLoop(const EventLoop&) = delete;
  EventLoop& operator=(const EventLoop&) = delete;

private:
  void run() {
    while (!stop_) {
      if (virEventRunDefaultImpl() < 0) {
        log::warning("libvirt: its event loop failed: {}", virGetLastErrorMessage());
        std::this_thread::sleep_for(std::chrono::seconds{1});
      }
    }
  }

  std::atomic<bool> stop_{false};
  int wake_ = -1; ///< a timer, to end the loop
  std::thread thread_;
};

} // namespace

void start_event_loop() { static const EventLoop kLoop; }

} // namespace vmemfs::libvirt
