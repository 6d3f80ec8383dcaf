// SPDX-License-Identifier: MIT
#include "drivers/kvmi/mapping/open_mapping.h"

#include "core/text.h"

#include <fmt/format.h>
#include <utility>

namespace vmemfs::kvmi {

OpenedMapping open_mapping(const MappingSettings& settings, Session& session, std::function<void()> wanted) {
  const std::string what = printable(settings.device);
  const auto without = [&](std::string_view why) {
    return OpenedMapping{nullptr, {what, false, fmt::format("{}; memory is read by messages", why)}};
  };
  if (settings.max_pages == 0) {
    return without("mapped_pages is 0");
  }
  if (!session.has_map_token()) {
    return without("the VM gives no tokens (GET_MAP_TOKEN)");
  }
  auto device = MemoryDevice::open(settings.device, session.greeting().uuid);
  if (!device) {
    return without(device.error().text);
  }
  const std::string abi{(*device)->abi()};
  return {std::make_unique<MappedMemory>(session, std::move(*device), settings.max_pages, std::move(wanted)),
          {what, true, fmt::format("{}; pages that are read again and again are mapped", abi)}};
}

} // namespace vmemfs::kvmi
