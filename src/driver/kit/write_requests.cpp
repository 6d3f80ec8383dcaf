// SPDX-License-Identifier: MIT
#include "driver/kit/write_requests.h"

#include <algorithm>
#include <cstdint>
#include <fmt/format.h>
#include <optional>

namespace vmemfs {

Result<void> check_writable(const MemoryMap& map, Gpa gpa, std::size_t size, std::string_view origin) {
  for (std::size_t at = 0; at < size;) {
    const auto stretch = map.at(gpa + at);
    if (stretch.region == nullptr || !stretch.region->writable) {
      return fail(stretch.region == nullptr ? ErrorKind::hole : ErrorKind::read_only, origin,
                  fmt::format("there is no memory that can be written at {:#x}", (gpa + at).value()));
    }
    at += stretch.range.size();
  }
  return {};
}

WriteOutcome write_by_requests(const MemoryMap& map, Gpa gpa, std::span<const std::byte> bytes,
                               std::size_t max_request, const WriteRequest& write) {
  for (std::size_t done = 0; done < bytes.size();) {
    const Gpa at = gpa + done;
    const std::size_t size =
        std::min<std::uint64_t>({map.at(at).range.size(), bytes.size() - done, max_request});
    if (auto written = write(at, bytes.subspan(done, size)); !written) {
      return {done, std::move(written.error())};
    }
    done += size;
  }
  return {bytes.size(), std::nullopt};
}

} // namespace vmemfs
