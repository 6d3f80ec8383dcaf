// SPDX-License-Identifier: MIT
// The simulator of a QEMU with LibVMI's patch, which delays each reply; each read is a round trip.
#include "simulators/pmemaccess/simulator.h"
#include "support/files.h"
#include "wire/source.h"

#include <fmt/format.h>

namespace vmemfs::bench {
namespace {

class PmemaccessSource : public Source {
public:
  explicit PmemaccessSource(const Memory& memory)
      : mebibytes_{memory.mebibytes},
        simulator_{dir_ / "qmp", {.image = memory.image, .latency = kRoundTrip}} {}
  std::string vm() const override {
    return fmt::format("pmemaccess:qmp={},timeout=20s,maps=0-640K+1M-{}M", dir_ / "qmp", mebibytes_);
  }
  std::uint64_t round_trips() override { return simulator_.seen().reads; }

private:
  const std::uint64_t mebibytes_; ///< of the 2 GiB that it has
  test::TempDir dir_;
  pmemaccess_simulator::Simulator simulator_;
};

} // namespace

SourceKind pmemaccess_source() {
  return {"pmemaccess",
          [](const Memory& memory) { return std::make_unique<PmemaccessSource>(memory); },
          {{.name = "running, cache off", .commands = {"cache off"}},
           {.name = "running"},
           {.name = "paused", .commands = {"pause"}},
           {.name = "paused, `keep=on`", .params = ",keep=on", .commands = {"pause"}}}};
}

} // namespace vmemfs::bench
