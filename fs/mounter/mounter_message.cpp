// SPDX-License-Identifier: MIT
#include "fs/mounter/mounter_message.h"

#include "core/text.h"

#include <fmt/format.h>
#include <string>

namespace vmemfs {
namespace {

constexpr std::string_view kOrigin = "mount";

} // namespace

Result<void> parse_mounter_answer(std::string_view text) {
  if (text.empty()) {
    return fail(
        ErrorKind::source_failed, kOrigin,
        fmt::format("the process that mounts ({}) has ended without an answer; it may have been killed",
                    kMounterProcessName));
  }
  if (text.front() == kMounterDone) {
    return {};
  }
  const auto kind = static_cast<unsigned char>(text.front());
  if (kind > static_cast<unsigned char>(ErrorKind::source_failed)) {
    return fail(ErrorKind::source_failed, kOrigin,
                fmt::format("not an answer of the process that mounts ({}): '{}'", kMounterProcessName,
                            printable(text)));
  }
  return fail(static_cast<ErrorKind>(kind), kOrigin, std::string{text.substr(1)});
}

} // namespace vmemfs
