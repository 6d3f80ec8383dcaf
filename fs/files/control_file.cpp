#include "fs/files/control_file.h"

#include "core/text.h"
#include "fs/files/text_file.h"

#include <array>
#include <fmt/format.h>
#include <functional>

namespace vmemfs {
namespace {

std::string status_text(Vm& vm, const ControlContext& context);

struct Command {
  std::string_view name;
  bool needs_run_control;
  Result<std::string> (*run)(Vm& vm, const ControlContext& context);
};

Result<std::string> done(const Result<void>& result) {
  if (!result) {
    return tl::unexpected{result.error()};
  }
  return "ok\n";
}

constexpr std::array kCommands{
    Command{"pause", true, [](Vm& vm, const ControlContext&) { return done(vm.pause()); }},
    Command{"resume", true, [](Vm& vm, const ControlContext&) { return done(vm.resume()); }},
    Command{"refresh", false, [](Vm& vm, const ControlContext&) { return done(vm.refresh()); }},
    Command{"flush", false,
            [](Vm& vm, const ControlContext&) -> Result<std::string> {
              vm.flush();
              return "ok\n";
            }},
    Command{"status", false,
            [](Vm& vm, const ControlContext& context) -> Result<std::string> {
              return status_text(vm, context);
            }},
};

std::string command_names(Vm& vm) {
  std::string names;
  for (const Command& command : kCommands) {
    if (!command.needs_run_control || vm.driver().run_control() != nullptr) {
      names += fmt::format(" {}", command.name);
    }
  }
  return names;
}

std::string status_text(Vm& vm, const ControlContext& context) {
  const bool can_control = vm.driver().run_control() != nullptr;
  const auto status = can_control ? vm.run_status() : Result<RunStatus>{RunStatus{true, "unknown"}};
  const std::string last_error = vm.last_error();
  return fmt::format(
      "state {}\npaused_by {}\ndriver {}\nepoch {}\ncache off\nwrite {}\nholds 0\nlast_error {}\n"
      "commands{}\n",
      status ? status->detail : fmt::format("unknown ({})", status.error().message()),
      to_string(vm.paused_by()), vm.driver().identity().driver, vm.epoch(), context.writable ? "on" : "off",
      last_error.empty() ? "none" : last_error, command_names(vm));
}

} // namespace

Result<std::string> ControlFile::run(std::string_view command) {
  for (const Command& known : kCommands) {
    if (command == known.name) {
      return known.run(*vm_, context_);
    }
  }
  return fail(ErrorKind::invalid, "control",
              fmt::format("there is no command '{}'; there are:{}", printable(command), command_names(*vm_)));
}

Result<void> ControlFile::write(std::string_view bytes, std::uint64_t offset) {
  const std::scoped_lock lock{mutex_};
  fresh_ = false;
  answer_.clear();
  answer_begin_ = offset + bytes.size();
  for (const std::string_view line : split(bytes, '\n')) {
    const std::string_view command = trim(line);
    if (command.empty()) {
      continue;
    }
    auto said = run(command);
    if (!said) {
      answer_ = said.error().message() + '\n';
      // The writer's file offset stays where it was, as nothing was written.
      answer_begin_ = offset;
      return tl::unexpected{said.error()};
    }
    answer_ = std::move(*said);
  }
  return {};
}

void ControlFile::read(Reply& reply, const ReadRequest& request) {
  const std::scoped_lock lock{mutex_};
  if (vm_->driver().gone()) {
    reply.error(ErrorKind::vm_gone);
    return;
  }
  if (fresh_ && (request.offset == 0 || answer_.empty())) {
    answer_ = status_text(*vm_, context_);
  }
  if (request.offset < answer_begin_) { // the reader went back to the start of the file
    answer_begin_ = request.offset;
  }
  reply_with_part(reply, answer_, request.size, request.offset - answer_begin_);
}

} // namespace vmemfs
