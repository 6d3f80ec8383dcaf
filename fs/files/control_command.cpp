// SPDX-License-Identifier: MIT
#include "fs/files/control_command.h"

#include "core/text.h"

#include <algorithm>
#include <array>
#include <fmt/format.h>
#include <span>
#include <vector>

namespace vmemfs {
namespace {

constexpr std::chrono::hours kMaxPause{24};

using Arguments = std::span<const std::string_view>;

struct Verb {
  std::string_view name;
  std::string_view arguments; ///< as shown to users
  Result<ControlCommand> (*parse)(const Verb& verb, Arguments arguments);
  bool ControlAbilities::*needs = nullptr;
};

tl::unexpected<Error> wrong(const Verb& verb, std::string_view what) {
  return fail(ErrorKind::invalid, "control",
              fmt::format("{}: {}; it is: {}{}{}", verb.name, what, verb.name,
                          verb.arguments.empty() ? "" : " ", verb.arguments));
}

tl::unexpected<Error> unknown_argument(const Verb& verb, std::string_view argument) {
  return wrong(verb, fmt::format("'{}' is not understood", printable(argument)));
}

template <typename Command> Result<ControlCommand> plain(const Verb& verb, Arguments arguments) {
  if (!arguments.empty()) {
    return wrong(verb, fmt::format("'{}' is too much", printable(arguments.front())));
  }
  return Command{};
}

Result<ControlCommand> parse_pause(const Verb& verb, Arguments arguments) {
  if (arguments.empty()) {
    return PauseCommand{};
  }
  if (arguments.size() > 1) {
    return wrong(verb, "only one of these at a time");
  }
  const std::string_view argument = arguments.front();
  if (argument == "hold") {
    return HoldCommand{};
  }
  if (argument == "keep") {
    return PauseCommand{PauseKind::keep, {}};
  }
  constexpr std::string_view kTtl = "ttl=";
  if (!argument.starts_with(kTtl)) {
    return unknown_argument(verb, argument);
  }
  const auto duration = parse_duration(argument.substr(kTtl.size()));
  if (!duration || duration->count() <= 0 || *duration > kMaxPause) {
    return wrong(verb, fmt::format("'{}' is no duration from 1ms to 1440m, as 500ms, 5s or 2m",
                                   printable(argument.substr(kTtl.size()))));
  }
  return PauseCommand{PauseKind::timed, *duration};
}

Result<ControlCommand> parse_write(const Verb& verb, Arguments arguments) {
  if (arguments.size() == 1 && (arguments.front() == "on" || arguments.front() == "off")) {
    return WriteCommand{arguments.front() == "on"};
  }
  return wrong(verb, arguments.empty() ? "on or off is missing" : "on or off, nothing else");
}

Result<void> add_cache_argument(const Verb& verb, std::string_view argument, CacheCommand& command) {
  constexpr std::string_view kSize = "size=";
  constexpr std::string_view kTtl = "ttl=";
  for (const CacheMode mode : {CacheMode::automatic, CacheMode::on, CacheMode::off}) {
    if (argument == to_string(mode)) {
      command.mode = mode;
      return {};
    }
  }
  if (argument == "size=share") {
    command.fair_share = true;
    command.size.reset();
  } else if (argument.starts_with(kSize)) {
    command.size = parse_size(argument.substr(kSize.size()));
    command.fair_share = false;
    if (!command.size) {
      return wrong(verb,
                   fmt::format("'{}' is not a size such as 64M", printable(argument.substr(kSize.size()))));
    }
  } else if (argument.starts_with(kTtl)) {
    command.ttl = parse_duration(argument.substr(kTtl.size()));
    if (!command.ttl || *command.ttl > kMaxPause) {
      return wrong(verb, fmt::format("'{}' is no duration up to 1440m, as 100ms or 2s",
                                     printable(argument.substr(kTtl.size()))));
    }
  } else {
    return unknown_argument(verb, argument);
  }
  return {};
}

Result<ControlCommand> parse_cache(const Verb& verb, Arguments arguments) {
  if (arguments.empty()) {
    return wrong(verb, "what about it is missing");
  }
  CacheCommand command;
  for (const std::string_view argument : arguments) {
    if (auto added = add_cache_argument(verb, argument, command); !added) {
      return tl::unexpected{std::move(added.error())};
    }
  }
  return command;
}

constexpr std::array kVerbs{
    Verb{"pause", "[hold|ttl=DURATION|keep]", parse_pause, &ControlAbilities::run_control},
    Verb{"resume", "", plain<ResumeCommand>, &ControlAbilities::run_control},
    Verb{"write", "on|off", parse_write, &ControlAbilities::writes},
    Verb{"cache", "[auto|on|off] [size=BYTES|size=share] [ttl=DURATION]", parse_cache},
    Verb{"refresh", "", plain<RefreshCommand>},
    Verb{"flush", "", plain<FlushCommand>},
    Verb{"status", "", plain<StatusCommand>},
    Verb{"detach", "", plain<DetachCommand>},
};

std::vector<std::string_view> split_tokens(std::string_view line) {
  std::vector<std::string_view> tokens = split(line, ' ');
  std::erase_if(tokens, [](std::string_view argument) { return argument.empty(); });
  return tokens;
}

} // namespace

Result<ControlCommand> parse_control_command(std::string_view line) {
  const auto tokens = split_tokens(line);
  const std::string_view name = tokens.empty() ? std::string_view{} : tokens.front();
  const auto verb = std::ranges::find(kVerbs, name, &Verb::name);
  if (verb == kVerbs.end()) {
    std::string names;
    for (const Verb& known : kVerbs) {
      names += fmt::format(" {}", known.name);
    }
    return fail(ErrorKind::invalid, "control",
                fmt::format("there is no command '{}'; there are:{}", printable(name), names));
  }
  return verb->parse(*verb, Arguments{tokens}.subspan(1));
}

std::string control_usage(ControlAbilities abilities) {
  std::string usage;
  for (const Verb& verb : kVerbs) {
    if (verb.needs != nullptr && !(abilities.*verb.needs)) {
      continue;
    }
    usage += fmt::format("command {}{}{}\n", verb.name, verb.arguments.empty() ? "" : " ", verb.arguments);
  }
  return usage;
}

} // namespace vmemfs
