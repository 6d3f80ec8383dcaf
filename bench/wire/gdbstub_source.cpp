// SPDX-License-Identifier: MIT
// The stub of a real QEMU, behind a link that delays; round trips by what the client had when it sent a
// packet.
#include "support/gdb/slow_link.h"
#include "support/qemu_guest.h"
#include "wire/source.h"
#include "wire/stub_client.h"

#include <fmt/format.h>

namespace vmemfs::bench {
namespace {

class GdbstubSource : public Source {
public:
  explicit GdbstubSource(const Memory& memory) : memory_{memory} {}
  std::string vm() const override {
    return fmt::format("gdbstub:address={},timeout=60s,maps=0-640K+1M-{}M", link_.path(), memory_.mebibytes);
  }
  [[nodiscard]] std::string path() const { return link_.path(); }
  std::uint64_t round_trips() override { return link_.round_trips().count(); }

private:
  [[nodiscard]] test::GuestOptions options() const {
    test::GuestOptions options;
    options.memory = fmt::format("{}M", memory_.mebibytes);
    options.extra = {"-gdb", "unix:" + stub_ + ",server=on,wait=off"};
    if (!memory_.image.empty()) { // never runs, so the memory stays what the image is
      options.kernel = false;
      options.machine = "pc,memory-backend=image";
      options.extra.insert(options.extra.end(),
                           {"-S", "-object",
                            fmt::format("memory-backend-file,id=image,share=off,size={}M,mem-path={}",
                                        memory_.mebibytes, memory_.image)});
    }
    return options;
  }

  const Memory memory_;
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
           {.name = "paused, `alone=on`", .params = ",alone=on", .commands = {"pause"}}},
          [] {
            constexpr std::size_t kMebibyte = std::size_t{1} << 20U;
            constexpr std::size_t kUnderWay = 512;
            const GdbstubSource source{{128}};
            return stub_speed(source.path(), 16 * kMebibyte, 64 * kMebibyte, kUnderWay);
          }};
}

} // namespace vmemfs::bench
