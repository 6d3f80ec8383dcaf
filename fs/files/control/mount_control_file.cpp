// SPDX-License-Identifier: MIT
#include "fs/files/control/mount_control_file.h"

#include "core/one_line.h"
#include "core/text.h"
#include "fs/files/text/status_text.h"

#include <fmt/format.h>
#include <memory>

namespace vmemfs {
namespace {

constexpr std::size_t kMaxReason = 2000;

std::string_view or_dash(std::string_view text) { return text.empty() ? "-" : text; }

std::string refusal_line(const Refusal& refusal) {
  const std::string who = fmt::format("{} {} {}", or_dash(refusal.driver), or_dash(refusal.number),
                                      printable(or_dash(refusal.name)));
  return refusal.reason.empty()
             ? fmt::format("attaching {}\n", who)
             : fmt::format("refused {}: {}\n", who, printable(one_line(refusal.reason), kMaxReason));
}

} // namespace

std::string mount_status_text(const VmRegistry& vms, const VmFinder& finder, const LastFailure& failure) {
  std::string text;
  for (const auto& vm : vms.all()) {
    text += fmt::format("vm {} {}\n", vm->guest().identity().driver, printable(vm->name()));
  }
  for (const Refusal& refusal : finder.refused()) {
    text += refusal_line(refusal);
  }
  for (const DiscoveryError& error : finder.discovery_errors()) {
    text += fmt::format("discovery_failed {}: {}\n", error.driver, printable(error.reason, kMaxReason));
  }
  LastError error = failure.get();
  error.text = printable(one_line(error.text), kMaxReason);
  return text + last_error_lines(error) + mount_command_lines();
}

Result<std::size_t> MountControlFile::write(std::string_view bytes, std::uint64_t offset) {
  auto taken = CommandFile::write(bytes, offset);
  if (!taken) {
    failure_->set(taken.error().message());
  }
  return taken;
}

Result<MountControlFile::Action> MountControlFile::prepare(std::string_view command) {
  return parse_mount_command(command).map(
      [this](const MountCommand& parsed) -> Action { return [this, parsed] { return run(parsed); }; });
}

Result<std::string> MountControlFile::run(const MountCommand& command) {
  return std::visit(Overloaded{
                        [&](const AttachVmCommand& attach) {
                          return attacher_.attach(attach.spec).map([](const std::shared_ptr<Vm>& vm) {
                            return fmt::format("ok, as {}\n", printable(vm->name()));
                          });
                        },
                        [&](const DetachVmCommand& detach) {
                          return this->detach(detach.name).map([] { return std::string{"ok\n"}; });
                        },
                        [&](const StatusCommand&) { return status(); },
                    },
                    command);
}

/// Also of a VM that is being attached, or is refused: it is not tried again.
Result<void> MountControlFile::detach(const std::string& name) {
  auto detached = attacher_.detach(name);
  return !detached && finder_.give_up(name) ? Result<void>{} : detached;
}

} // namespace vmemfs
