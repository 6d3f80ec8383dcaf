// SPDX-License-Identifier: MIT
#include "linux/landmarks/system_names.h"

#include <array>
#include <cstddef>
#include <span>
#include <string_view>

namespace vmemfs {

/// The names of the system, of the host, of the release and of the version, each in 65 bytes, are behind
/// members that depend on the version.
std::optional<SystemNames> system_names(KernelMemory& memory, const Vmcoreinfo& info) {
  constexpr std::size_t kEnough = 512;
  constexpr std::size_t kName = 65;
  using namespace std::string_view_literals;
  std::array<char, kEnough> bytes{};
  const auto address = info.symbol("init_uts_ns");
  const std::size_t size = address ? memory.read(*address, std::as_writable_bytes(std::span{bytes})) : 0;
  std::string_view names{bytes.data(), size};
  const std::size_t system = names.find("Linux\0"sv);
  if (system == std::string_view::npos || names.size() - system < 4 * kName) {
    return std::nullopt;
  }
  names.remove_prefix(system);
  const std::string_view release = names.substr(2 * kName, kName);
  const std::string_view version = names.substr(3 * kName, kName);
  return SystemNames{.release = std::string{release.substr(0, release.find('\0'))},
                     .version = std::string{version.substr(0, version.find('\0'))}};
}

} // namespace vmemfs
