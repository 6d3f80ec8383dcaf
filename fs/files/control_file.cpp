#include "fs/files/control_file.h"

#include "fs/files/status_text.h"
#include "fs/files/text_file.h"

#include <utility>

namespace vmemfs {
namespace {

template <typename... Handlers> struct Overloaded : Handlers... {
  using Handlers::operator()...;
};

template <typename... Handlers> Overloaded(Handlers...) -> Overloaded<Handlers...>;

Result<std::string> done(const Result<void>& result) {
  return result ? Result<std::string>{"ok\n"} : tl::unexpected{result.error()};
}

std::string say(Paused paused) {
  return paused == Paused::by_us ? "ok\n"
                                 : "ok, but somebody else had paused it, and only `resume` ends that\n";
}

void apply(const CacheCommand& command, CacheSettings& settings) {
  settings.mode = command.mode.value_or(settings.mode);
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
    vm_->end_hold(*hold_);
  }
}

Result<std::string> ControlFile::hold() {
  if (hold_) { // unless somebody has resumed the VM since
    if (const auto status = vm_->run_status(); !status) {
      return tl::unexpected{status.error()};
    }
    if (!vm_->is_held(*hold_)) {
      hold_.reset();
    }
  }
  if (!hold_) {
    const auto hold = vm_->hold();
    if (!hold) {
      return tl::unexpected{hold.error()};
    }
    hold_ = *hold;
  }
  return say(vm_->pause_info().by == PausedBy::us ? Paused::by_us : Paused::already);
}

Result<std::string> ControlFile::run(const ControlCommand& command) {
  return std::visit(
      Overloaded{
          [&](const PauseCommand& pause) { return vm_->pause(pause.kind, pause.for_how_long).map(say); },
          [&](const HoldCommand&) { return hold(); },
          [&](const ResumeCommand&) {
            auto resumed = done(vm_->resume(hold_));
            if (resumed) {
              hold_.reset();
            }
            return resumed;
          },
          [&](const RefreshCommand&) { return done(vm_->refresh()); },
          [&](const FlushCommand&) -> Result<std::string> {
            vm_->flush();
            return "ok\n";
          },
          [&](const StatusCommand&) -> Result<std::string> { return status_text(*vm_); },
          [&](const WriteCommand& write) { return done(vm_->set_writable(write.on)); },
          [&](const CacheCommand& cache) {
            return done(vm_->change_cache([&](CacheSettings& settings) { apply(cache, settings); }));
          },
      },
      command);
}

Result<std::size_t> ControlFile::run_all(std::string_view bytes) {
  const auto lines = parse_control_text(bytes);
  if (!lines) {
    return tl::unexpected{lines.error()};
  }
  for (const auto& [command, begin] : *lines) {
    auto said = vm_->counters().control_commands.counted(run(command));
    if (!said && begin > 0) {
      return begin; // what failed is tried, and told, when the writer goes on from here
    }
    if (!said) {
      return tl::unexpected{std::move(said.error())};
    }
    answer_ = std::move(*said);
  }
  return bytes.size();
}

Result<std::size_t> ControlFile::write(std::string_view bytes, std::uint64_t offset) {
  const std::scoped_lock lock{mutex_};
  fresh_ = false;
  answer_.clear();
  auto taken = run_all(bytes);
  if (!taken) {
    answer_ = taken.error().message() + '\n';
  }
  // Where nothing was taken the writer's file offset stays where it was.
  answer_begin_ = offset + taken.value_or(0);
  return taken;
}

void ControlFile::read(Reply& reply, const ReadRequest& request) {
  const std::scoped_lock lock{mutex_};
  if (vm_->driver().gone()) {
    reply.error(ErrorKind::vm_gone);
    return;
  }
  if (fresh_ && (request.offset == 0 || answer_.empty())) {
    answer_ = status_text(*vm_);
  }
  if (request.offset < answer_begin_) { // the reader went back to the start of the file
    answer_begin_ = request.offset;
  }
  reply_with_part(reply, answer_, request.size, request.offset - answer_begin_);
}

} // namespace vmemfs
