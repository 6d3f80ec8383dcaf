// SPDX-License-Identifier: MIT
#include "toy/toy_driver.h"

#include <fmt/format.h>
#include <utility>

namespace vmemfs {

ToyDriver::ToyDriver(std::shared_ptr<const ProcessSpace> space)
    : identity_{fmt::format("toy-{}", space->pid()), "", "toy", process_key(space->process())},
      guest_{std::move(space)} {}

Result<std::unique_ptr<Driver>> ToyDriver::attach(pid_t pid, HvaRange ram, const DriverContext& context) {
  auto process = Process::open(pid);
  if (!process) {
    return tl::unexpected{process.error()};
  }
  auto space = ProcessSpace::open(std::make_shared<const Process>(std::move(*process)));
  if (!space) {
    return tl::unexpected{space.error()};
  }
  std::unique_ptr<ToyDriver> driver{new ToyDriver{std::move(*space)}};
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
