// SPDX-License-Identifier: MIT
#include "fs/files/control/command_file.h"

#include "core/text.h"
#include "fs/files/text_file.h"

#include <fmt/format.h>
#include <utility>

namespace vmemfs {
namespace {

/// More than any sensible number of commands; a file copied there by mistake is larger.
constexpr std::size_t kMaxText = 4096;

} // namespace

Result<std::vector<CommandLineText>> command_lines(std::string_view text) {
  if (text.size() > kMaxText) {
    return fail(
        ErrorKind::invalid, "control",
        fmt::format("{} bytes at once are no commands; a write takes at most {}", text.size(), kMaxText));
  }
  std::vector<CommandLineText> lines;
  for (const std::string_view line : split(text, '\n')) {
    if (const std::string_view command = trim(line); !command.empty()) {
      lines.push_back({command, static_cast<std::size_t>(line.data() - text.data())});
    }
  }
  return lines;
}

Result<std::size_t> CommandFile::run_all(std::string_view bytes) {
  const auto lines = command_lines(bytes);
  if (!lines) {
    note_malformed(lines.error());
    return tl::unexpected{lines.error()};
  }
  std::vector<Action> actions;
  for (const CommandLineText& line : *lines) {
    auto action = prepare(line.command);
    if (!action) {
      note_malformed(action.error());
      return tl::unexpected{std::move(action.error())};
    }
    actions.push_back(std::move(*action));
  }
  for (std::size_t i = 0; i < actions.size(); ++i) {
    auto said = gone() ? fail(ErrorKind::vm_gone, "control", "the VM has ended") : actions[i]();
    const std::size_t begin = (*lines)[i].begin;
    if (!said && begin > 0) {
      return begin; // it is tried again, and its error reported, when the writer continues here
    }
    if (!said) {
      return tl::unexpected{std::move(said.error())};
    }
    answer_ = std::move(*said);
  }
  return bytes.size();
}

Result<std::size_t> CommandFile::write(std::string_view bytes, std::uint64_t offset) {
  const MutexLock lock{mutex_};
  fresh_ = false;
  answer_.clear();
  auto taken = run_all(bytes);
  if (!taken) {
    answer_ = taken.error().message() + '\n';
  }
  // If nothing was taken, the file offset of the writer does not change.
  answer_begin_ = offset + taken.value_or(0);
  return taken;
}

void CommandFile::read(Reply& reply, const ReadRequest& request) {
  const MutexLock lock{mutex_};
  if (gone()) {
    reply.error(ErrorKind::vm_gone);
    return;
  }
  if (fresh_ && (request.offset == 0 || answer_.empty())) {
    auto text = status();
    if (text && !size_->fits(*text)) {
      text = short_status();
    }
    if (!text) {
      reply.error(text.error().kind);
      return;
    }
    answer_ = std::move(*text);
    size_->fit(answer_);
  }
  if (request.offset < answer_begin_) { // the reader went back to the start of the file
    answer_begin_ = request.offset;
  }
  reply_with_part(reply, answer_, request.size, request.offset - answer_begin_);
}

} // namespace vmemfs
