// SPDX-License-Identifier: MIT
#include "drivers/vbox/vbox_driver.h"

#include "arch/x86_64/registers.h"
#include "core/text.h"
#include "driver/kit/read_pieces.h"
#include "driver/kit/write_requests.h"
#include "drivers/vbox/guest/register_ids.h"
#include "drivers/vbox/guest/registers.h"
#include "util/log.h"

#include <algorithm>
#include <cstdint>
#include <fmt/format.h>
#include <utility>

namespace vmemfs::vbox {
namespace {

constexpr std::string_view kOrigin = "vbox";
/// The state is asked for that often if VirtualBox does not mark a change, which also shows that it answers.
constexpr unsigned kQuietSeconds = 5;

} // namespace

/// A reader only gets an errno, so the remedy goes to the log.
BatchedReads VboxDriver::reads_until(Clock::time_point deadline) {
  return {kMaxRead, [this, deadline](Gpa gpa, std::size_t size, const BatchedReads::Take& take) {
            auto done = link_->read(gpa, size, deadline, take);
            if (!done && done.error().kind == ErrorKind::busy && refused_reads_.allows()) {
              log::warning("vbox: {}: cannot read memory: {}", printable(options_.name), done.error().text);
            }
            return done;
          }};
}

void VboxDriver::read(std::span<ReadPiece> pieces) {
  if (!gone()) {
    reads_until(Clock::now() + 2 * options_.timeout).read(pieces, *memory_map());
  }
  if (gone()) {
    fail_pieces(pieces, ErrorKind::vm_gone);
  }
}

Result<void> VboxDriver::refresh() {
  const auto vcpus = link_->number(simple_request(Opcode::cpu_count, 4), Clock::now() + options_.timeout);
  if (!vcpus) {
    return tl::unexpected{vcpus.error()};
  }
  take_vcpus(static_cast<std::uint32_t>(std::min<std::uint64_t>(*vcpus, FdpLink::kMaxVcpus)));
  auto map = make_map();
  if (!map) {
    return tl::unexpected{std::move(map.error())};
  }
  if (*map != *map_.load()) {
    map_.store(std::make_shared<const MemoryMap>(std::move(*map)));
    listener_.emit(VmEvent::layout_changed);
  }
  return {};
}

void VboxDriver::take_vcpus(std::uint32_t count) {
  auto vcpus = std::make_shared<const VcpuSet>(VcpuSet::first(count));
  if (*vcpus != *vcpus_.load()) {
    vcpus_.store(std::move(vcpus));
    listener_.emit(VmEvent::vcpus_changed);
  }
}

/// On the watcher's thread, which must not wait for VirtualBox.
void VboxDriver::poll_every_second() {
  if (gone()) {
    return;
  }
  link_->check();
  const bool is_due = ++seconds_ % kQuietSeconds == 0 || link_->state_changed();
  if (!is_due || gone() || poll_pending_.exchange(true)) {
    return;
  }
  worker_.post([lease = lease_.share()] {
    lease.with([](VboxDriver& driver) {
      driver.control_.poll();
      driver.poll_pending_ = false;
    });
  });
}

Result<void> VboxDriver::check_write(Gpa gpa, std::size_t size) const {
  if (gone()) {
    return fail(ErrorKind::vm_gone, kOrigin, "the VM has ended");
  }
  return check_writable(*memory_map(), gpa, size, kOrigin);
}

WriteOutcome VboxDriver::write(Gpa gpa, std::span<const std::byte> bytes) {
  if (auto allowed = check_write(gpa, bytes.size()); !allowed) {
    return nothing_written(std::move(allowed.error()));
  }
  const auto deadline = Clock::now() + 2 * options_.timeout;
  return write_by_requests(
      *memory_map(), gpa, bytes, kMaxWrite, [&](Gpa at, std::span<const std::byte> part) {
        const auto what = fmt::format("write {} bytes at {:#x}; some of them may have been written",
                                      part.size(), at.value());
        return link_->command(write_request(at, part), what, deadline);
      });
}

const RegisterLayout& VboxDriver::register_layout() const { return x86_64::register_layout(); }

bool VboxDriver::usually_has(RegisterIndex reg) const { return find_register(reg) != nullptr; }

Result<void> VboxDriver::check_vcpu(VcpuId vcpu) const {
  return vcpus().contains(vcpu)
             ? Result<void>{}
             : fail(ErrorKind::not_found, kOrigin, fmt::format("the VM has no vCPU {}", vcpu.value()));
}

/// The second look at the state shows that the guest did not begin to run meanwhile.
Result<std::vector<RegisterSet>> VboxDriver::read_registers(std::span<const VcpuId> vcpus) {
  std::vector<RegisterSet> sets;
  const auto deadline = Clock::now() + 2 * options_.timeout;
  if (!vcpus.empty()) {
    if (auto paused = control_.require_paused(deadline); !paused) {
      return tl::unexpected{std::move(paused.error())};
    }
  }
  for (const VcpuId vcpu : vcpus) {
    auto set = check_vcpu(vcpu).and_then([&] { return read_vcpu_registers(*link_, vcpu, deadline); });
    if (!set) {
      return tl::unexpected{std::move(set.error())};
    }
    sets.push_back(*set);
  }
  if (!vcpus.empty()) {
    if (auto paused = control_.require_paused(deadline); !paused) {
      return tl::unexpected{std::move(paused.error())};
    }
  }
  return sets;
}

Result<void> VboxDriver::write_registers(VcpuId vcpu, std::span<const RegisterValue> values) {
  const auto before = check_vcpu(vcpu).and_then([&] { return control_.run_status(); });
  if (!before) {
    return tl::unexpected{before.error()};
  }
  if (before->running) {
    if (const auto paused = control_.pause(); !paused) {
      return tl::unexpected{paused.error()};
    }
  }
  auto written = write_vcpu_registers(*link_, vcpu, values, Clock::now() + 2 * options_.timeout);
  if (before->running) {
    if (const auto resumed = control_.resume(); !resumed && written) {
      return tl::unexpected{resumed.error()};
    }
  }
  return written;
}

AccessReport VboxDriver::access() const {
  return {
      .map = options_.maps.empty() ? "found by reading pages: FDP tells only how much memory there is"
                                   : "the user's, by maps=",
      .ram = fmt::format("FDP in the shared memory '{}', {}", printable(options_.name),
                         describe_requests(cost_, kMaxRead)),
      .registers = "FDP, while the guest is paused; of segments the selectors, and the bases of fs and gs",
      .run_control = "FDP; other clients can pause and resume, too, which is noticed within some seconds",
      .writes =
          fmt::format("FDP, up to {} KiB a request; general, control and debug registers, the bases of fs "
                      "and gs, and efer can be set",
                      kMaxWrite >> 10U)};
}

} // namespace vmemfs::vbox
