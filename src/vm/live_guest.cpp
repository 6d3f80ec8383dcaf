// SPDX-License-Identifier: MIT
#include "vm/live_guest.h"

#include "util/work_limit.h"

#include <fmt/format.h>
#include <string>
#include <utility>

namespace vmemfs {
namespace {

/// A vCPU that the source does not have (any more) was unplugged: whoever asks had found it.
template <typename T> Result<T> of_vcpus(Result<T> result) {
  if (!result && result.error().kind == ErrorKind::not_found) {
    result.error().kind = ErrorKind::vcpu_gone;
    result.error().text += "; was it unplugged?";
  }
  return result;
}

} // namespace

LiveGuest::LiveGuest(const LiveMemory::Context& context, std::shared_ptr<KernelBudget> kernel_budget)
    : context_{context}, memory_{context, counters_}, kernel_cache_{context, memory_},
      reported_vcpus_{context.driver.vcpus()}, linux_guest_{*this, std::move(kernel_budget)} {}

void LiveGuest::vcpus_changed() {
  if (!vcpu_report_pending_.exchange(true)) {
    context_.jobs.post_after({}, [this] { report_vcpus(); });
  }
}

void LiveGuest::report_vcpus() {
  if (context_.attachment.gone()) {
    return;
  }
  if (const auto now = Clock::now(); now < next_vcpu_report_) {
    context_.jobs.post_after(next_vcpu_report_ - now, [this] { report_vcpus(); });
    return;
  }
  vcpu_report_pending_ = false; // later changes need another report
  VcpuSet now = vcpus();
  if (now == reported_vcpus_) {
    return;
  }
  const VcpuSet added = now.without(reported_vcpus_);
  const VcpuSet removed = reported_vcpus_.without(now);
  std::string detail;
  if (!added.empty()) {
    detail += fmt::format("added {}; ", to_string(added));
  }
  if (!removed.empty()) {
    detail += fmt::format("removed {}; ", to_string(removed));
  }
  context_.events.report(EventKind::vcpus, fmt::format("{}now {}", detail, to_string(now)));
  reported_vcpus_ = std::move(now);
  next_vcpu_report_ = Clock::now() + kBetweenVcpuReports;
}

const RegisterLayout* LiveGuest::register_layout() const {
  if (RegisterReader* const reader = context_.driver.register_reader()) {
    return &reader->register_layout();
  }
  RegisterWriter* const writer = context_.driver.register_writer();
  return writer != nullptr ? &writer->register_layout() : nullptr;
}

std::optional<RegisterSet> LiveGuest::usual_registers() const {
  const RegisterReader* const reader = context_.driver.register_reader();
  if (reader == nullptr) {
    return std::nullopt;
  }
  RegisterSet usual{reader->register_layout()};
  for (std::size_t i = 0; i < reader->register_layout().size(); ++i) {
    if (reader->usually_has(RegisterIndex{i})) {
      usual.set(RegisterIndex{i}, 0);
    }
  }
  return usual;
}

Result<std::vector<RegisterSet>> LiveGuest::read_registers(std::span<const VcpuId> vcpus) {
  return counters_.register_reads.counted(try_read_registers(vcpus));
}

Result<std::vector<RegisterSet>> LiveGuest::try_read_registers(std::span<const VcpuId> vcpus) {
  Driver& driver = context_.driver;
  RegisterReader* const reader = driver.register_reader();
  if (context_.attachment.gone()) {
    return gone_error();
  }
  if (reader == nullptr) {
    return context_.events.noted<std::vector<RegisterSet>>(
        fail(ErrorKind::unsupported, driver.identity().driver,
             fmt::format("cannot read registers: {}", driver.access().registers)));
  }
  // No fault of the VM, so no event: a reader may ask again and again.
  const VcpuSet present = driver.vcpus();
  for (const VcpuId vcpu : vcpus) {
    if (!present.contains(vcpu)) {
      return fail(ErrorKind::vcpu_gone, driver.identity().driver,
                  fmt::format("there is no vCPU {} any more", vcpu.value()));
    }
  }
  auto sets = of_vcpus(reader->read_registers(vcpus));
  // If the caller did not wait for as long as the VM may take, that is no fault of the VM either.
  return !sets && WorkLimit::over() ? sets : context_.events.noted(std::move(sets));
}

Result<void> LiveGuest::write_registers(VcpuId vcpu, std::span<const RegisterValue> values) {
  return counters_.register_writes.counted(of_vcpus(context_.writes.write_registers(vcpu, values)));
}

} // namespace vmemfs
