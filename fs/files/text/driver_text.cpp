// SPDX-License-Identifier: MIT
#include "fs/files/text/driver_text.h"

#include <fmt/format.h>

namespace vmemfs {
namespace {

/// How the driver discovers VMs, and which of its parameters discovery takes.
std::string discovery_text(const DriverType& type) {
  const bool by_itself = type.discovery({}, nullptr) != nullptr;
  if (!by_itself && type.discovery_params().empty()) {
    return "  finds no VMs by itself\n";
  }
  std::string keys;
  for (const ParamSpec& spec : type.discovery_params()) {
    keys += fmt::format("{}{}=", keys.empty() ? ", which takes " : " ", spec.name);
  }
  return fmt::format("  finds VMs {}with --discover {}{}\n", by_itself ? "by itself, and " : "", type.name(),
                     keys);
}

} // namespace

std::string driver_text(const DriverType& type) {
  const auto available = type.available();
  return fmt::format("{}: {}\n  here: {}\n  example: --vm NAME={}\n{}{}", type.name(), type.summary(),
                     available ? "works" : available.error().message(), type.example(), discovery_text(type),
                     describe(type.params()));
}

} // namespace vmemfs
