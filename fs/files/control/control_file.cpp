// SPDX-License-Identifier: MIT
#include "fs/files/control/control_file.h"

#include "fs/files/text/status_text.h"

#include <utility>

namespace vmemfs {
namespace {

Result<std::string> done(const Result<void>& result) {
  return result ? Result<std::string>{"ok\n"} : tl::unexpected{result.error()};
}

std::string say(Paused paused) {
  return paused == Paused::by_us ? "ok\n"
                                 : "ok, but somebody else had paused it, and only `resume` ends that\n";
}

void apply(const CacheCommand& command, CacheSettings& settings) {
  settings.mode = command.mode.value_or(settings.mode);
  settings.kernel = command.kernel.value_or(settings.kernel);
  settings.ttl = command.ttl.value_or(settings.ttl);
  if (command.size) {
    settings.size = command.size;
  } else if (command.fair_share) {
    settings.size.reset();
  }
}

} // namespace

ControlFile::~ControlFile() {
  if (hold_) {
    vm_->run_state().end_hold(*hold_);
  }
}

Result<std::string> ControlFile::hold() {
  if (hold_) { // unless somebody has resumed the VM since
    if (const auto status = vm_->run_state().status(); !status) {
      return tl::unexpected{status.error()};
    }
    if (!vm_->run_state().is_held(*hold_)) {
      hold_.reset();
    }
  }
  if (!hold_) {
    const auto hold = vm_->run_state().hold();
    if (!hold) {
      return tl::unexpected{hold.error()};
    }
    hold_ = *hold;
  }
  return say(vm_->run_state().info().by == PausedBy::us ? Paused::by_us : Paused::already);
}

Result<std::string> ControlFile::run(const VmCommand& command) {
  return std::visit(
      Overloaded{
          [&](const PauseCommand& pause) {
            return vm_->run_state().pause(pause.kind, pause.for_how_long).map(say);
          },
          [&](const HoldCommand&) { return hold(); },
          [&](const ResumeCommand&) {
            auto resumed = done(vm_->run_state().resume(hold_));
            if (resumed) {
              hold_.reset();
            }
            return resumed;
          },
          [&](const RefreshCommand&) { return done(vm_->guest().memory().refresh()); },
          [&](const FlushCommand&) -> Result<std::string> {
            vm_->cache().flush();
            return "ok\n";
          },
          [&](const StatusCommand&) -> Result<std::string> { return status_text(*vm_); },
          [&](const DetachCommand&) -> Result<std::string> {
            hold_.reset(); // detaching ends it
            return done(vm_->detach());
          },
          [&](const WriteCommand& write) { return done(vm_->write_gate().set_writable(write.on)); },
          [&](const CacheCommand& cache) {
            return done(vm_->cache().change([&](CacheSettings& settings) { apply(cache, settings); }));
          },
      },
      command);
}

Result<ControlFile::Action> ControlFile::prepare(std::string_view command) {
  return parse_vm_command(command).map([this](const VmCommand& parsed) -> Action {
    return [this, parsed] {
      auto said = vm_->guest().counters().control_commands.counted(run(parsed));
      static_cast<void>(vm_->guest().kernel_cache_use()); // it may have changed, which is logged
      return said;
    };
  });
}

/// A shell reports an errno and closes the file, so the reason stays in the status. That of a command that
/// was carried out is noted by the VM.
void ControlFile::note_malformed(const Error& error) {
  static_cast<void>(vm_->events().noted<void>(tl::unexpected{error}));
}

Result<std::string> ControlFile::status() {
  state_ = state_name(*vm_);
  return status_text(*vm_, state_);
}

Result<std::string> ControlFile::short_status() { return status_text(*vm_, short_state(state_)); }

} // namespace vmemfs
