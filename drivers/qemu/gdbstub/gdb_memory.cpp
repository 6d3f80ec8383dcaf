// SPDX-License-Identifier: MIT
#include "drivers/qemu/gdbstub/gdb_memory.h"

#include "core/text.h"
#include "drivers/qemu/gdbstub/gdb_visit.h"
#include "drivers/qemu_protocol/gdb_packets.h"
#include "util/log.h"

#include <algorithm>
#include <fmt/format.h>
#include <string>
#include <string_view>

namespace vmemfs::qemu {
namespace {

constexpr std::string_view kOrigin = "gdbstub";
constexpr std::size_t kMaxPacketBytes = 1984; ///< two digits per byte, in packets of at most 4096 (QEMU 7.2)

// Physical addressing is a setting of the whole QEMU process, which outlives the gdbstub's connection.
constexpr std::string_view kPhysical = "Qqemu.PhyMemMode:1";
constexpr std::string_view kVirtual = "Qqemu.PhyMemMode:0";

GdbScript write_script(Gpa gpa, std::span<const std::byte> bytes) {
  GdbScript script;
  script.add(kPhysical);
  for (std::size_t at = 0; at < bytes.size(); at += kMaxPacketBytes) {
    const auto part = bytes.subspan(at, std::min(kMaxPacketBytes, bytes.size() - at));
    script.add(fmt::format("M{:x},{:x}:{}", (gpa + at).value(), part.size(), gdb_bytes(part)));
  }
  script.add(kVirtual);
  return script;
}

/// "7.2.22 (Debian ...)"
bool knows_physical_mode(std::string_view version) {
  const auto numbers = split(version.substr(0, version.find_first_not_of("0123456789.")), '.');
  const auto major = numbers.empty() ? std::nullopt : parse_u64(numbers[0]);
  const auto minor = numbers.size() < 2 ? std::nullopt : parse_u64(numbers[1]);
  return major && minor && (*major > 4 || (*major == 4 && *minor >= 2));
}

/// Number of bytes that the replies confirm; `refusal` becomes the first reply that does not confirm.
std::size_t confirmed(std::span<const std::string> replies, std::size_t size, std::string& refusal) {
  std::size_t done = 0;
  for (std::size_t i = 0; i < replies.size(); ++i) {
    if (replies[i] != "OK") {
      refusal = replies[i].empty() ? "(not known)" : replies[i];
      return done;
    }
    done = std::min(size, i * kMaxPacketBytes); // the first packet switched the mode
  }
  return done;
}

/// Restores virtual addressing: QEMU may have stopped in the middle of the packets.
void end_physical_mode(MonitorSession& session, std::span<const std::string> user_chardevs) {
  const MonitorSession::PutBack own_time{session};
  GdbScript script;
  script.add(kVirtual);
  if (const auto visit = visit_gdbstub(session, script, user_chardevs); visit.failure) {
    log::warning("the gdbstub of QEMU may still use physical addresses: {}", visit.failure->message());
  }
}

} // namespace

WriteOutcome write_by_gdbstub(MonitorSession& session, Gpa gpa, std::span<const std::byte> bytes,
                              std::span<const std::string> user_chardevs) {
  // All packets are sent before the first one is answered, and an older stub would take the addresses as
  // virtual ones.
  if (!knows_physical_mode(session.qemu_version())) {
    return {0, Error{ErrorKind::unsupported, std::string{kOrigin},
                     fmt::format(
                         "the gdbstub of QEMU {} cannot write physical memory; QEMU 4.2 or newer is needed",
                         printable(session.qemu_version()))}};
  }
  const GdbScript script = write_script(gpa, bytes);
  const GdbVisit visit = visit_gdbstub(session, script, user_chardevs);
  std::string refusal;
  WriteOutcome outcome{confirmed(visit.replies, bytes.size(), refusal), visit.failure};
  if (!refusal.empty()) {
    outcome.failure = Error{ErrorKind::source_failed, std::string{kOrigin},
                            fmt::format("QEMU's gdbstub refused to write memory: '{}'", printable(refusal))};
  }
  if (visit.started && visit.replies.size() < script.packets()) {
    end_physical_mode(session, user_chardevs);
  }
  if (outcome.done == bytes.size() && outcome.failure) {
    log::warning("after a write by the gdbstub of QEMU: {}", outcome.failure->message());
    outcome.failure.reset();
  }
  return outcome;
}

} // namespace vmemfs::qemu
