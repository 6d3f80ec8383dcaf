// SPDX-License-Identifier: MIT
// The start of mapping for a connection, if the host of vmemfs has the device.
#pragma once

#include "driver/driver.h"
#include "drivers/kvmi/link/session.h"
#include "drivers/kvmi/mapping/mapped_memory.h"

#include <cstddef>
#include <functional>
#include <memory>
#include <string>

namespace vmemfs::kvmi {

inline constexpr std::string_view kMemoryDevice = "/dev/kvmmem";

struct MappingSettings {
  std::string device{kMemoryDevice};
  std::size_t max_pages = 0; ///< 0: nothing is mapped
};

struct OpenedMapping {
  std::unique_ptr<MappedMemory> memory; ///< null: memory is read by messages
  ProbeResult attempt;                  ///< for `info`
};

/// Of a session that is prepared. `wanted`: see MappedMemory.
[[nodiscard]] OpenedMapping open_mapping(const MappingSettings& settings, Session& session,
                                         std::function<void()> wanted);

} // namespace vmemfs::kvmi
