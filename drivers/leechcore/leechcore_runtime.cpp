// SPDX-License-Identifier: MIT
#include "drivers/leechcore/leechcore_runtime.h"

#include <filesystem>
#include <fmt/format.h>
#include <system_error>
#include <unistd.h>

namespace vmemfs::leechcore {
namespace {

constexpr std::string_view kProgram = "vmemfs-leechcore";

Result<std::string> find_program() {
  std::error_code error;
  const auto folder = std::filesystem::read_symlink("/proc/self/exe", error).parent_path();
  for (const auto& place : {folder / kProgram, folder.parent_path() / "libexec" / "vmemfs" / kProgram}) {
    if (::access(place.c_str(), X_OK) == 0) {
      return place.string();
    }
  }
  return fail(
      ErrorKind::not_found, "leechcore",
      fmt::format("cannot find the program {}, which loads LeechCore, in {} or ../libexec/vmemfs; it is "
                  "installed with vmemfs",
                  kProgram, folder.string()));
}

} // namespace

LeechcoreRuntime::LeechcoreRuntime() : program_{find_program()} {}

std::shared_ptr<const LeechcoreRuntime> leechcore_runtime(const std::shared_ptr<DriverRuntime>& runtime) {
  return runtime != nullptr ? std::static_pointer_cast<const LeechcoreRuntime>(runtime)
                            : std::make_shared<const LeechcoreRuntime>();
}

} // namespace vmemfs::leechcore
