// SPDX-License-Identifier: MIT
#include "vm/write_gate.h"

#include "util/log.h"

#include <fmt/format.h>
#include <utility>

namespace vmemfs {
namespace {

tl::unexpected<Error> writes_are_off() {
  return fail(ErrorKind::read_only, "vm",
              "writes are off; `echo write on > control` or the option --writable lets them through");
}

} // namespace

Result<void> WriteGate::check_on() const {
  if (!writable_) {
    return context_.events.noted<void>(writes_are_off());
  }
  return {};
}

bool WriteGate::available() const {
  return context_.driver.memory_writer() != nullptr || context_.driver.register_writer() != nullptr;
}

Result<void> WriteGate::set_writable(bool on) {
  const auto lock = context_.run_state.lock_operations();
  if (!lock) {
    return context_.events.noted<void>(tl::unexpected{lock.error()});
  }
  if (on && !available()) {
    return context_.events.noted<void>(fail(ErrorKind::unsupported, context_.driver.identity().driver,
                                            "this driver can write neither memory nor registers"));
  }
  if (writable_.exchange(on) != on) {
    context_.coherence.flush(); // the kernel keeps nothing of memory that may be written
    log::info("{}: writes are {}", context_.events.vm(), on ? "on" : "off");
  }
  return {};
}

Result<void> WriteGate::check_writable(GpaRange range) const {
  const auto map = context_.driver.memory_map();
  for (Gpa here = range.begin; here < range.end;) {
    const auto stretch = map->at(here);
    if (stretch.region == nullptr || here >= map->ram_end()) {
      return fail(ErrorKind::hole, "vm",
                  fmt::format("no memory at {:#x}, so nothing was written", here.value()));
    }
    if (!stretch.region->writable) {
      return fail(ErrorKind::read_only, "vm",
                  fmt::format("the {} at {:#x} cannot be written, so nothing was written",
                              to_string(stretch.region->kind), here.value()));
    }
    here = stretch.range.end;
  }
  return {};
}

Result<std::size_t> WriteGate::write(std::uint64_t offset, std::span<const std::byte> bytes) {
  const auto lock = context_.run_state.lock_operations();
  if (!lock) {
    return context_.events.noted<std::size_t>(tl::unexpected{lock.error()});
  }
  if (context_.attachment.gone()) {
    return gone_error();
  }
  VmEvents& events = context_.events;
  if (auto on = check_on(); !on) {
    return tl::unexpected{std::move(on.error())};
  }
  MemoryWriter* const writer = context_.driver.memory_writer();
  if (writer == nullptr) {
    return events.noted<std::size_t>(fail(ErrorKind::unsupported, context_.driver.identity().driver,
                                          "this driver cannot write guest memory"));
  }
  if (bytes.empty()) {
    return 0;
  }
  context_.driver.poll_layout(false);
  if (offset >= kGpaLimit || bytes.size() > kGpaLimit - offset) {
    return events.noted<std::size_t>(fail(ErrorKind::hole, "vm", "there is no memory that high"));
  }
  const Gpa gpa{offset};
  if (auto checked = check_writable({gpa, gpa + bytes.size()}); !checked) {
    return events.noted<std::size_t>(tl::unexpected{std::move(checked.error())});
  }
  return write_memory(*writer, gpa, bytes);
}

Result<std::size_t> WriteGate::write_memory(MemoryWriter& writer, Gpa gpa, std::span<const std::byte> bytes) {
  auto outcome = writer.write(gpa, bytes);
  // Regardless of the result, bytes read before must not be served any more.
  context_.run_state.note_write();
  if (outcome.failure) { // it may still take effect later, such as when a monitor answered too late
    context_.coherence.may_change();
    context_.run_state.poll_soon();
  } else {
    context_.coherence.changed();
  }
  if (outcome.done > 0) {
    log::info("{}: wrote {} bytes at {:#x}", context_.events.vm(), outcome.done, gpa.value());
  }
  if (outcome.failure) {
    auto failed = context_.events.noted<std::size_t>(tl::unexpected{std::move(*outcome.failure)});
    return outcome.done > 0 ? Result<std::size_t>{outcome.done} : failed;
  }
  return outcome.done;
}

Result<void> WriteGate::write_registers(VcpuId vcpu, std::span<const RegisterValue> values) {
  const auto lock = context_.run_state.lock_operations();
  if (!lock) {
    return context_.events.noted<void>(tl::unexpected{lock.error()});
  }
  Driver& driver = context_.driver;
  RegisterWriter* const writer = driver.register_writer();
  if (context_.attachment.gone()) {
    return gone_error();
  }
  if (auto on = check_on(); !on) {
    return on;
  }
  if (writer == nullptr) {
    return context_.events.noted<void>(
        fail(ErrorKind::unsupported, driver.identity().driver,
             fmt::format("cannot set registers: {}", driver.access().registers)));
  }
  auto written = writer->write_registers(vcpu, values);
  context_.coherence.changed(); // some may have been set, even if not all were
  if (written) {
    for (const RegisterValue& value : values) {
      log::info("{}: vcpu {}: {} set to {:#x}", context_.events.vm(), vcpu.value(),
                writer->register_layout().name(value.reg), value.value);
    }
  }
  return context_.events.noted(std::move(written));
}

} // namespace vmemfs
