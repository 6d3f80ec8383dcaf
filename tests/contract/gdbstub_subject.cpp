// SPDX-License-Identifier: MIT
// The driver `gdbstub` with the stub of a QEMU, also over a link with a round trip of 1 ms.
#include "contract/driver_contract.h"
#ifdef VMEMFS_WITH_GDBSTUB
#include "drivers/all_drivers.h"
#include "support/gdb/slow_link.h"
#include "support/qemu_guest.h"

#include <chrono>
#include <csignal>
#include <cstdint>
#include <fmt/format.h>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>

namespace vmemfs::test {
namespace {

class GdbstubSubject : public Subject {
public:
  explicit GdbstubSubject(std::chrono::microseconds round_trip) {
    std::string address = stub_;
    if (round_trip.count() > 0) {
      link_ = std::make_unique<SlowLink>(stub_, round_trip);
      address = link_->path();
    }
    // Connecting stops the guest.
    auto driver = open_driver(
        {"", "gdbstub", fmt::format("address={},maps=0-640K+1M-64M+0xfffc0000-4G:rom,timeout=60s", address)},
        {watcher_, worker_});
    if (!driver) {
      throw std::runtime_error{driver.error().message()};
    }
    driver_ = std::move(*driver);
  }
  Driver& driver() override { return *driver_; }
  std::vector<std::byte> truth(Gpa gpa, std::size_t size) override {
    return guest_.pmemsave(gpa.value(), size);
  }
  std::optional<std::uint64_t> round_trips() override {
    return link_ != nullptr ? std::optional<std::uint64_t>{link_->round_trips().count()} : std::nullopt;
  }
  /// 512 packets of QEMU's 2 KiB, of which 128 to 256 are under way.
  unsigned max_trips_per_mebibyte() const override { return 5; }
  bool end_vm() override {
    guest_.process().signal(SIGKILL);
    return true;
  }

private:
  static GuestOptions with_stub(const std::string& stub) {
    GuestOptions options;
    options.extra = {"-smp", "2", "-gdb", "unix:" + stub + ",server=on,wait=off"};
    return options;
  }

  TempDir dir_;
  const std::string stub_ = dir_ / "gdb";
  QemuGuest guest_{with_stub(stub_)};
  std::unique_ptr<SlowLink> link_;
  std::unique_ptr<Driver> driver_;
};

const RegisteredSubject kDirect{
    {"gdbstub", [] { return std::make_unique<GdbstubSubject>(std::chrono::microseconds{0}); }}};
const RegisteredSubject kSlow{
    {"gdbstub_slow", [] { return std::make_unique<GdbstubSubject>(std::chrono::milliseconds{1}); }}};

} // namespace
} // namespace vmemfs::test
#endif
