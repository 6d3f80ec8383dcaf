// SPDX-License-Identifier: MIT
#include "toy/toy_driver.h"

#include <fmt/format.h>
#include <utility>

namespace vmemfs {

ToyDriver::ToyDriver(std::shared_ptr<const Process> process)
    : identity_{fmt::format("toy-{}", process->pid()), "", "toy", process_key(*process)},
      guest_{std::move(process)} {}

Result<std::unique_ptr<Driver>> ToyDriver::attach(pid_t pid, HvaRange ram, const DriverContext& context) {
  auto process = Process::open(pid);
  if (!process) {
    return tl::unexpected{process.error()};
  }
  std::unique_ptr<ToyDriver> driver{new ToyDriver{std::make_shared<const Process>(std::move(*process))}};
  GuestLayout layout;
  layout.ranges.push_back({{Gpa{0}, Gpa{ram.size()}}, RegionKind::ram, true, "toy.ram", 0, ram.begin});
  if (auto published = driver->guest_.publish(std::move(layout), ProcessGuest::Mappings::renew); !published) {
    return tl::unexpected{std::move(published.error())};
  }
  auto watched =
      driver->guest_.watch_end(context.watcher, [raw = driver.get()] { raw->listener_.emit(VmEvent::gone); });
  if (!watched) {
    return tl::unexpected{std::move(watched.error())};
  }
  return driver;
}

} // namespace vmemfs
