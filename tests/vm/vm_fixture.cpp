// SPDX-License-Identifier: MIT
#include "vm_fixture.h"

#include "driver/decorators/delay_driver.h"

namespace vmemfs::test {

VmFixture::VmFixture(FakeOptions options, VmOptions vm_options, std::chrono::microseconds delay,
                     const Wrap& wrap) {
  options.resume_ticket = "ticket";
  auto made = std::move(*FakeDriver::create(std::move(options)));
  fake = made.get();
  auto faulty = std::make_unique<FaultDriver>(std::move(made));
  fault = faulty.get();
  std::unique_ptr<Driver> driver = std::move(faulty);
  if (delay.count() > 0) {
    driver = std::make_unique<DelayDriver>(std::move(driver), delay);
  }
  if (wrap) {
    driver = wrap(std::move(driver));
  }
  auto counted = std::make_unique<MetricsDriver>(std::move(driver));
  metrics = counted.get();
  vm = Vm::create(1, "vm", std::move(counted),
                  {.jobs = jobs,
                   .prefetch_jobs = prefetch_worker,
                   .slow_prefetch_jobs = slow_prefetch_worker,
                   .cache_budget = budget,
                   .guard = &guard,
                   .changed = [this](VmId, bool) { ++changes; },
                   .drop_outer_caches = [this](VmId) { ++drops; },
                   .events = &events},
                  vm_options);
  // The first query of the state is over, so that it cannot interfere with a test.
  static_cast<void>(eventually([&] { return !fake->calls().empty(); }));
  static_cast<void>(vm->run_state().status());
}

std::vector<std::byte> VmFixture::read(std::uint64_t offset, std::size_t size, HolePolicy policy) {
  std::vector<std::byte> bytes;
  const auto read = vm->guest().memory().read(offset, size, policy, scratch, &read_ahead);
  if (!read) {
    error = read.error();
    return bytes;
  }
  for (const iovec& part : scratch.data()) {
    const auto* begin = static_cast<const std::byte*>(part.iov_base);
    bytes.insert(bytes.end(), begin, begin + part.iov_len);
  }
  scratch.release();
  return bytes;
}

std::uint64_t VmFixture::word(std::uint64_t offset) {
  const auto bytes = read(offset, sizeof(std::uint64_t));
  std::uint64_t value = 0;
  std::memcpy(&value, bytes.data(), std::min(bytes.size(), sizeof(value)));
  return value;
}

void VmFixture::write_word(std::uint64_t offset, std::uint64_t value) const {
  static_cast<void>(fake->guest_writes(Gpa{offset}, std::as_bytes(std::span{&value, 1})));
}

} // namespace vmemfs::test
