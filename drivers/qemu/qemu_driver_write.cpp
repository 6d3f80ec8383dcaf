// SPDX-License-Identifier: MIT
// Writes to memory: from outside if that is reliable, else through the gdbstub.
#include "core/text.h"
#include "driver/kit/write_requests.h"
#include "drivers/qemu/gdbstub/gdb_memory.h"
#include "drivers/qemu/qemu_driver.h"
#include "drivers/qemu_protocol/qmp_address.h"

#include <algorithm>
#include <array>
#include <fmt/format.h>
#include <string_view>
#include <utility>

namespace vmemfs::qemu {
namespace {

constexpr std::size_t kMaxShownDevice = 100;

Error gone_error() { return {ErrorKind::vm_gone, "qemu", "the VM has ended"}; }

} // namespace

Result<void> QemuDriver::check_stub_is_reachable() const {
  if (monitor_ != nullptr && is_tcp_address(monitor_->path())) {
    return fail(
        ErrorKind::unsupported, "qemu",
        "QEMU's gdbstub gets a descriptor, which a monitor on TCP cannot pass to QEMU; give QEMU a UNIX "
        "socket: -qmp unix:PATH,server=on,wait=off");
  }
  return {};
}

WriteOutcome QemuDriver::write(Gpa gpa, std::span<const std::byte> bytes) {
  const MonitorTime time{options_.timeout};
  const TimedLock::Owner lock{write_mutex_, time.exchange_end()};
  if (!lock.owns_lock()) {
    return nothing_written({ErrorKind::busy, "qemu", "other writes took the whole time limit"});
  }
  WriteOutcome outcome = kvm_ ? write_from_outside(gpa, bytes, time) : write_by_stub(gpa, bytes, time);
  return gone() ? nothing_written(gone_error()) : std::move(outcome);
}

WriteOutcome QemuDriver::write_from_outside(Gpa gpa, std::span<const std::byte> bytes,
                                            const MonitorTime& time) {
  if (const auto fresh = take_newest_layout(time); !fresh) {
    return nothing_written(fresh.error());
  }
  const auto memory = guest_.memory();
  return memory != nullptr ? memory->write(*space_, gpa, bytes) : nothing_written(gone_error());
}

/// Called before a write: with a stale layout it could go to memory that now serves another purpose.
Result<void> QemuDriver::take_newest_layout(const MonitorTime& time) {
  if (!flat_view_ && options_.map != MapSource::guess) {
    return refresh(Mappings::keep, time);
  }
  return flat_view_ ? follow_view(time) : Result<void>{}; // or it was guessed
}

/// The layout is refreshed before each visit, because the stub would write to the registers of a device.
WriteOutcome QemuDriver::write_by_stub(Gpa gpa, std::span<const std::byte> bytes, const MonitorTime& time) {
  if (monitor_ == nullptr) {
    return nothing_written({ErrorKind::unsupported, "qemu", describe_writes()});
  }
  if (const auto reachable = check_stub_is_reachable(); !reachable) {
    return nothing_written(reachable.error());
  }
  if (const auto fresh = take_newest_layout(time); !fresh) {
    return nothing_written(fresh.error());
  }
  auto session = monitor_->session(time);
  if (!session) {
    return nothing_written(session.error());
  }
  WriteOutcome outcome;
  while (outcome.done < bytes.size() && !outcome.failure) {
    poll_layout(false);
    const auto memory = guest_.memory();
    if (memory == nullptr) {
      return nothing_written(gone_error());
    }
    const Gpa here = gpa + outcome.done;
    const auto part = bytes.subspan(outcome.done, std::min(kMaxVisitBytes, bytes.size() - outcome.done));
    auto allowed = memory->writable(here, part.size());
    if (allowed.size > 0) {
      auto written =
          write_by_gdbstub(*session, here, part.first(allowed.size), qemu_.command_line.gdbstub_chardevs);
      outcome.done += written.done;
      outcome.failure = std::move(written.failure);
    }
    if (!outcome.failure) {
      outcome.failure = std::move(allowed.failure);
    }
  }
  return outcome;
}

std::string QemuDriver::describe_writes() const {
  if (kvm_) {
    return "from outside, through /proc/PID/mem of QEMU";
  }
  if (monitor_ == nullptr) {
    return "none: without KVM a write must go through QEMU's gdbstub, because of code that QEMU has already "
           "translated, and there is no monitor to start it: " +
           why_no_monitor_;
  }
  const auto stub = describe_stub();
  if (!stub) {
    return "none: " + stub.error().text;
  }
  return fmt::format("{}; a running guest is stopped for a few milliseconds per {} KiB", *stub,
                     kMaxVisitBytes >> 10U);
}

/// By the command line: who uses the stub now is asked at each write.
Result<std::string> QemuDriver::describe_stub() const {
  if (const auto reachable = check_stub_is_reachable(); !reachable) {
    return tl::unexpected{reachable.error()};
  }
  const std::string& device = qemu_.command_line.gdbstub;
  if (device.empty()) {
    return "QEMU's gdbstub, started for each write";
  }
  constexpr auto kSockets = std::to_array<std::string_view>({"tcp:", "unix:", "chardev:"});
  const std::string shown = printable(device, kMaxShownDevice);
  if (std::ranges::any_of(kSockets, [&](std::string_view kind) { return device.starts_with(kind); })) {
    return fmt::format("QEMU's own gdbstub ({}), borrowed for each write while no debugger is connected",
                       shown);
  }
  return fail(ErrorKind::unsupported, "qemu",
              fmt::format("QEMU's only gdbstub is on '{}', which is not a listening socket; run the monitor "
                          "command 'gdbserver none' to end that",
                          shown));
}

} // namespace vmemfs::qemu
