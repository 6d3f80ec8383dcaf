// SPDX-License-Identifier: MIT
// The stand-in for LeechCore's library, which delays each call; each call is a round trip.
#include "support/files.h"
#include "wire/source.h"

#include <algorithm>
#include <filesystem>
#include <fmt/format.h>

namespace vmemfs::bench {
namespace {

class LeechcoreSource : public Source {
public:
  explicit LeechcoreSource(const Memory& memory)
      : image_{memory.image.empty() ? dir_ / "image.raw" : memory.image} {
    if (memory.image.empty()) {
      test::write_file(image_, "");
      std::filesystem::resize_file(image_, memory.mebibytes << 20U);
    }
  }
  std::string vm() const override {
    return fmt::format("leechcore:timeout=60s,library={},device=\"file://file={},latency={},log={}",
                       VMEMFS_LEECHCORE_STAND_IN, image_, std::chrono::microseconds{kRoundTrip}.count(),
                       log());
  }
  std::uint64_t round_trips() override {
    const std::string calls = test::read_file(log());
    return static_cast<std::uint64_t>(std::ranges::count(calls, '\n'));
  }

private:
  [[nodiscard]] std::string log() const { return dir_ / "calls"; }

  test::TempDir dir_;
  const std::string image_;
};

} // namespace

SourceKind leechcore_source() {
  return {"leechcore",
          [](const Memory& memory) { return std::make_unique<LeechcoreSource>(memory); },
          {{.name = "live, cache off", .params = ",volatile=1\"", .commands = {"cache off"}},
           {.name = "live", .params = ",volatile=1\""},
           {.name = "live, `--cache-ttl 10m`", .params = ",volatile=1\"", .options = {"--cache-ttl", "10m"}},
           {.name = "saved memory", .params = "\""}}};
}

} // namespace vmemfs::bench
