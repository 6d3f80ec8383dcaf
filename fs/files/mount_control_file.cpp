// SPDX-License-Identifier: MIT
#include "fs/files/mount_control_file.h"

#include "core/text.h"
#include "fs/vm_line.h"

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <iterator>
#include <utility>

namespace vmemfs {
namespace {

constexpr std::size_t kMaxReason = 2000;

std::string_view or_dash(std::string_view text) { return text.empty() ? "-" : text; }

std::string refusal_line(const Refusal& refusal) {
  const std::string who = fmt::format("{} {} {}", or_dash(refusal.driver), or_dash(refusal.number),
                                      printable(or_dash(refusal.name)));
  return refusal.reason.empty() ? fmt::format("attaching {}\n", who)
                                : fmt::format("refused {}: {}\n", who, printable(refusal.reason, kMaxReason));
}

} // namespace

Result<MountControlFile::Action> MountControlFile::prepare(std::string_view command) {
  const std::string_view verb = command.substr(0, command.find(' '));
  const std::string_view rest = trim(command.substr(verb.size()));
  if (verb == "status" && rest.empty()) {
    return [this] { return status(); };
  }
  if (verb == "detach" && !rest.empty()) {
    return [this, name = std::string{rest}] {
      return attacher_.detach(name).map([] { return std::string{"ok\n"}; });
    };
  }
  if (verb == "attach" && !rest.empty()) {
    return prepare_attach(rest);
  }
  return fail(ErrorKind::invalid, "control",
              fmt::format("'{}' is no command here; there are: attach {}, detach NAME, status",
                          printable(command), kVmLineForm));
}

Result<MountControlFile::Action> MountControlFile::prepare_attach(std::string_view line) {
  const auto [spec, problems] = read_vm_line(line);
  if (!problems.empty()) {
    return fail(ErrorKind::invalid, "control",
                fmt::format("attach {}: {}", printable(line), fmt::join(problems, "; ")));
  }
  return [this, spec = spec] {
    return attacher_.attach(spec).map(
        [](const std::shared_ptr<Vm>& vm) { return fmt::format("ok, as {}\n", printable(vm->name())); });
  };
}

Result<std::string> MountControlFile::status() {
  std::string text;
  for (const auto& vm : vms_.all()) {
    text += fmt::format("vm {} {}\n", vm->guest().identity().driver, printable(vm->name()));
  }
  for (const Refusal& refusal : finder_.refused()) {
    text += refusal_line(refusal);
  }
  for (const DiscoveryError& error : finder_.discovery_errors()) {
    text += fmt::format("discovery_failed {}: {}\n", error.driver, printable(error.reason, kMaxReason));
  }
  return text + fmt::format("command attach {}\ncommand detach NAME\ncommand status\n", kVmLineForm);
}

} // namespace vmemfs
