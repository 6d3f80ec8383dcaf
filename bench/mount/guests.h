// SPDX-License-Identifier: MIT
// The guests whose memory is read. They are paused.
#pragma once

#include "support/qemu_guest.h"

#include <cstdint>
#include <memory>
#include <string>

namespace vmemfs::bench {

/// A guest whose RAM is a file on tmpfs. One at a time.
class SharedGuest {
public:
  explicit SharedGuest(std::uint64_t megabytes);
  ~SharedGuest(); ///< removes the file
  SharedGuest(const SharedGuest&) = delete;
  SharedGuest& operator=(const SharedGuest&) = delete;

  [[nodiscard]] test::QemuGuest& guest() { return guest_; }
  [[nodiscard]] static std::string path();

private:
  test::QemuGuest guest_;
};

/// A guest with QEMU's default RAM; without huge pages if `small_pages`.
[[nodiscard]] std::unique_ptr<test::QemuGuest> private_guest(std::uint64_t megabytes, bool small_pages);

/// The address, in QEMU, of guest physical address 0.
[[nodiscard]] std::uint64_t hva_of_ram(test::QemuGuest& guest);

} // namespace vmemfs::bench
