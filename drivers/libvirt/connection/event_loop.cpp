// SPDX-License-Identifier: MIT
#include "drivers/libvirt/connection/event_loop.h"

#include "drivers/libvirt/connection/handles.h"
#include "util/log.h"
#include "util/mutex.h"
#include "util/signals.h"

#include <chrono>
#include <fmt/format.h>
#include <libvirt/libvirt.h>
#include <libvirt/virterror.h>
#include <system_error>

namespace vmemfs::libvirt {
namespace {

/// Its own loop can be registered only once per process.
bool initialize_once() {
  static const bool kDone = virInitialize() >= 0 && virEventRegisterDefaultImpl() >= 0;
  return kDone;
}

} // namespace

Result<std::shared_ptr<EventLoop>> EventLoop::shared() {
  static Mutex mutex;
  static std::weak_ptr<EventLoop> current;
  const MutexLock lock{mutex};
  if (auto loop = current.lock()) {
    return loop;
  }
  if (!initialize_once()) {
    return fail_vir("cannot initialize");
  }
  try {
    auto loop = std::make_shared<EventLoop>();
    current = loop;
    return loop;
  } catch (const std::system_error& error) {
    return fail(ErrorKind::no_memory, kOrigin, fmt::format("cannot create a thread: {}", error.what()));
  }
}

EventLoop::EventLoop()
    : wake_{virEventAddTimeout(
          -1, [](int timer, void*) { virEventUpdateTimeout(timer, -1); }, nullptr, nullptr)} {
  virSetErrorFunc(nullptr, [](void*, virErrorPtr) {});
  const SignalsBlocked blocked;
  thread_ = std::thread{[this] { run(); }};
}

EventLoop::~EventLoop() {
  stop_ = true;
  virEventUpdateTimeout(wake_, 0);
  thread_.join();
  virEventRemoveTimeout(wake_);
}

void EventLoop::run() {
  while (!stop_) {
    if (virEventRunDefaultImpl() < 0) {
      log::warning("libvirt: its event loop failed: {}", virGetLastErrorMessage());
      std::this_thread::sleep_for(std::chrono::seconds{1});
    }
  }
}

} // namespace vmemfs::libvirt
