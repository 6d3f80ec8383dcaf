#include "fs/files/driver_text.h"

#include <fmt/format.h>

namespace vmemfs {

std::string driver_text(const DriverType& type) {
  const auto available = type.available();
  return fmt::format("{}: {}\n  here: {}\n  example: --vm NAME={}\n{}", type.name(), type.summary(),
                     available ? "works" : available.error().message(), type.example(),
                     describe(type.params()));
}

} // namespace vmemfs
