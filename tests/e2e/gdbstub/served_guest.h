// SPDX-License-Identifier: MIT
// Real guest whose QEMU serves GDB's protocol; the truth comes from QEMU's monitor.
#pragma once

#include "guests/tiny/layout.h"
#include "support/files.h"
#include "support/qemu_guest.h"

#include <cstdint>
#include <cstring>
#include <fmt/format.h>
#include <string>
#include <utility>

namespace vmemfs::test {

/// Of 64 MiB of a "pc". QEMU's stub has no memory map.
inline constexpr const char* kMaps = "0-640K+1M-64M+0xfffc0000-4G:rom";

/// A guest whose QEMU serves GDB's protocol on a UNIX socket.
class ServedGuest {
public:
  explicit ServedGuest(GuestOptions options = {}) : guest_{with_stub(std::move(options))} {}

  [[nodiscard]] QemuGuest& guest() { return guest_; }
  [[nodiscard]] std::string vm(const std::string& more = "") const {
    return fmt::format("vm=gdbstub:address=unix:{},timeout=60s,maps={}{}", stub_, kMaps, more);
  }
  [[nodiscard]] std::string stub() const { return stub_; }

  /// The guest's own counter, as QEMU reads it.
  [[nodiscard]] std::uint64_t counter() {
    const auto bytes = guest_.pmemsave(TG_INFO_GPA + 8, 8);
    std::uint64_t value = 0;
    std::memcpy(&value, bytes.data(), sizeof(value));
    return value;
  }
  [[nodiscard]] bool counts() {
    const std::uint64_t before = counter();
    return eventually([&] { return counter() != before; });
  }

private:
  GuestOptions with_stub(GuestOptions options) {
    options.extra.insert(options.extra.end(), {"-gdb", "unix:" + stub_ + ",server=on,wait=off"});
    return options;
  }

  TempDir dir_;
  const std::string stub_ = dir_ / "gdb";
  QemuGuest guest_;
};

} // namespace vmemfs::test
