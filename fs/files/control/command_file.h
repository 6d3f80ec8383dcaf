// SPDX-License-Identifier: MIT
// Files that take commands, one per line, and answer in words.
#pragma once

#include "fs/files/open_file.h"
#include "fs/files/text_size.h"
#include "util/mutex.h"

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace vmemfs {

/// One line of a text of commands, without surrounding blanks.
struct CommandLineText {
  std::string_view command; ///< view into the text; not empty
  std::size_t begin;        ///< offset of the line in the text
};

/// Makes one handler of several functions, for std::visit over a command.
template <typename... Handlers> struct Overloaded : Handlers... {
  using Handlers::operator()...;
};

template <typename... Handlers> Overloaded(Handlers...) -> Overloaded<Handlers...>;

/// All lines except empty ones. invalid: too long to be commands.
[[nodiscard]] Result<std::vector<CommandLineText>> command_lines(std::string_view text);

class CommandFile : public OpenFile {
public:
  /// `size`: what stat(2) gives for the file, shared with its node. It is that of the status.
  explicit CommandFile(std::shared_ptr<TextSize> size = std::make_shared<TextSize>())
      : size_{std::move(size)} {}

  /// Gives the answer of the last command through this handle; without one, the status.
  void read(Reply& reply, const ReadRequest& request) override;

  /// One command per line. If any of them is malformed, none is carried out. They are carried out in order;
  /// if one fails, those before it count as written, so that the writer's next attempt starts with it.
  Result<std::size_t> write(std::string_view bytes, std::uint64_t offset) override;

protected:
  /// Carries out a command that was parsed, and returns its answer.
  using Action = std::function<Result<std::string>()>;

  /// Parses one line. invalid: the text says what is wrong and which commands exist. Like the action, called
  /// by one thread at a time.
  [[nodiscard]] virtual Result<Action> prepare(std::string_view command) = 0;
  /// Called for a write of which nothing is carried out, as it is malformed.
  virtual void note_malformed(const Error& /*error*/) {}
  /// The text that is read if no command was written.
  [[nodiscard]] virtual Result<std::string> status() = 0;
  /// The same in short, if it has become longer than was to be expected. Called after status().
  [[nodiscard]] virtual Result<std::string> short_status() { return status(); }
  [[nodiscard]] virtual bool gone() const { return false; }

private:
  Result<std::size_t> run_all(std::string_view bytes) REQUIRES(mutex_);

  const std::shared_ptr<TextSize> size_;
  Mutex mutex_;
  std::string answer_ GUARDED_BY(mutex_);
  bool fresh_ GUARDED_BY(mutex_) = true; ///< no command yet, so a read from the start gives the status
  /// File offset at which the answer starts for this handle.
  std::uint64_t answer_begin_ GUARDED_BY(mutex_) = 0;
};

} // namespace vmemfs
