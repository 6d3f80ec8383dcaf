// SPDX-License-Identifier: MIT
// A guest's virtio-mem driver, at a real device of QEMU.
//
// Source: the virtio specification 1.2, sections 4.1 (PCI) and 5.15 (memory device).
#pragma once

#include "tests/drivers/qemu/flat_view/qtest_client.h"

#include <cstdint>
#include <string>

namespace vmemfs::qemu {

/// The device in slot 16 of the first PCI bus (addr=0x10), whose guest runs no program of its own. Uses guest
/// memory from 64 KiB to 96 KiB. Errors throw std::runtime_error.
class VirtioMemDriver {
public:
  explicit VirtioMemDriver(const std::string& qtest_path);

  void plug(std::uint64_t gpa, std::uint16_t blocks) { request(0, gpa, blocks); }
  void unplug(std::uint64_t gpa, std::uint16_t blocks) { request(1, gpa, blocks); }

  [[nodiscard]] QtestClient& qtest() { return qtest_; }

private:
  void set_up();
  void config(std::uint64_t reg, std::uint64_t value);
  void request(std::uint16_t type, std::uint64_t gpa, std::uint16_t blocks);

  QtestClient qtest_;
  std::uint16_t sent_ = 0;
};

} // namespace vmemfs::qemu
