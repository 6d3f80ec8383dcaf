// SPDX-License-Identifier: MIT
// The simulator of KVM introspection, which delays each reply; round trips by its own count.
#include "simulators/kvmi/simulator.h"
#include "support/files.h"
#include "wire/source.h"

#include <fmt/format.h>

namespace vmemfs::bench {
namespace {

class KvmiSource : public Source {
public:
  explicit KvmiSource(const Memory& memory)
      : simulator_{std::make_shared<kvmi_simulator::Guest>(kvmi_simulator::GuestOptions{
                       .name = "bench",
                       .ram = {{0, 0xa0000}, {0x100000, (memory.mebibytes - 1) << 20U}},
                       .image = memory.image}),
                   {.socket = socket(), .latency = kRoundTrip}} {}
  std::string vm() const override {
    return fmt::format("kvmi:socket={},domain=bench,timeout=60s,wait=60s", socket());
  }
  std::uint64_t round_trips() override { return simulator_.seen().flights; }

private:
  [[nodiscard]] std::string socket() const { return dir_ / "kvmi.sock"; }

  test::TempDir dir_;
  kvmi_simulator::Simulator simulator_;
};

} // namespace

SourceKind kvmi_source() {
  return {"kvmi",
          [](const Memory& memory) { return std::make_unique<KvmiSource>(memory); },
          {{.name = "running, cache off", .commands = {"cache off"}},
           {.name = "running"},
           {.name = "paused", .commands = {"pause"}},
           {.name = "paused, `--cache-ttl 10m`", .options = {"--cache-ttl", "10m"}, .commands = {"pause"}}}};
}

} // namespace vmemfs::bench
