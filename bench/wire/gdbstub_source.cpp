// SPDX-License-Identifier: MIT
// The stub of a real QEMU, behind a link that delays; round trips by what the client had when it sent a
// packet.
#include "support/gdb/slow_link.h"
#include "support/qemu_guest.h"
#include "wire/source.h"

#include <fmt/format.h>
#include <stdexcept>

namespace vmemfs::bench {
namespace {

class GdbstubSource : public Source {
public:
  explicit GdbstubSource(const Memory& memory) : megabytes_{memory.mebibytes} {
    if (!memory.image.empty()) {
      throw std::runtime_error{"a QEMU has the memory of its guest, and takes no image"};
    }
  }
  std::string vm() const override {
    return fmt::format("gdbstub:address={},timeout=60s,maps=0-640K+1M-{}M", link_.path(), megabytes_);
  }
  std::uint64_t round_trips() override { return link_.round_trips().count(); }

private:
  [[nodiscard]] test::GuestOptions options() const {
    test::GuestOptions options;
    options.memory = fmt::format("{}M", megabytes_);
    options.extra = {"-gdb", "unix:" + stub_ + ",server=on,wait=off"};
    return options;
  }

  const std::uint64_t megabytes_;
  test::TempDir dir_;
  const std::string stub_ = dir_ / "gdb";
  test::QemuGuest guest_{options()};
  test::SlowLink link_{stub_, kRoundTrip};
};

} // namespace

SourceKind gdbstub_source() {
  return {"gdbstub (QEMU's)",
          [](const Memory& memory) { return std::make_unique<GdbstubSource>(memory); },
          {{.name = "paused, cache off", .commands = {"pause", "cache off"}},
           {.name = "paused", .commands = {"pause"}},
           {.name = "paused, `alone=on`", .params = ",alone=on", .commands = {"pause"}}}};
}

} // namespace vmemfs::bench
