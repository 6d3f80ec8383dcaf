// SPDX-License-Identifier: MIT
#include "tests/drivers/qemu/flat_view/virtio_mem_driver.h"

#include "support/files.h"

#include <fmt/format.h>
#include <stdexcept>

namespace vmemfs::qemu {
namespace {

constexpr std::uint64_t kSlot = 0x10;
constexpr std::uint64_t kIds = 0x10581af4; ///< virtio-mem
constexpr std::uint64_t kBar = 0xe0000000; ///< where its BAR 4 is put
constexpr std::uint64_t kNotify = kBar + 0x3000;

// The common configuration.
constexpr std::uint64_t kFeatureSelect = kBar + 0x08;
constexpr std::uint64_t kFeatures = kBar + 0x0c;
constexpr std::uint64_t kDeviceFeatures = kBar + 0x04;
constexpr std::uint64_t kStatus = kBar + 0x14;
constexpr std::uint64_t kQueueSelect = kBar + 0x16;
constexpr std::uint64_t kQueueSize = kBar + 0x18;
constexpr std::uint64_t kQueueEnable = kBar + 0x1c;
constexpr std::uint64_t kQueueDescriptors = kBar + 0x20;
constexpr std::uint64_t kQueueAvailable = kBar + 0x28;
constexpr std::uint64_t kQueueUsed = kBar + 0x30;

// Guest memory.
constexpr std::uint64_t kDescriptors = 0x10000;
constexpr std::uint64_t kAvailable = 0x11000;
constexpr std::uint64_t kUsed = 0x12000;
constexpr std::uint64_t kRequest = 0x13000;
constexpr std::uint64_t kResponse = 0x14000;
constexpr std::uint16_t kEntries = 8;

constexpr std::uint64_t kUnpluggedInaccessible = 2; ///< feature that some devices insist on
constexpr std::uint64_t kReady = 0xf;               ///< ACKNOWLEDGE, DRIVER, DRIVER_OK, FEATURES_OK

std::uint64_t config_address(std::uint64_t reg) { return 0x80000000 | kSlot << 11U | reg; }

} // namespace

VirtioMemDriver::VirtioMemDriver(const std::string& qtest_path) : qtest_{qtest_path} { set_up(); }

void VirtioMemDriver::config(std::uint64_t reg, std::uint64_t value) {
  qtest_.write("outl", 0xcf8, config_address(reg));
  qtest_.write("outl", 0xcfc, value);
}

void VirtioMemDriver::set_up() {
  qtest_.write("outl", 0xcf8, config_address(0));
  if (qtest_.read("inl", 0xcfc) != kIds) {
    throw std::runtime_error{"there is no virtio-mem device"};
  }
  config(0x20, kBar);
  config(0x24, 0);
  config(0x04, 6); // memory space, bus master
  qtest_.write("writeb", kStatus, 0);
  qtest_.write("writeb", kStatus, 3);
  qtest_.write("writel", kBar, 0);
  const std::uint64_t offered = qtest_.read("readl", kDeviceFeatures);
  qtest_.write("writel", kFeatureSelect, 0);
  qtest_.write("writel", kFeatures, offered & kUnpluggedInaccessible);
  qtest_.write("writel", kFeatureSelect, 1);
  qtest_.write("writel", kFeatures, 1); // VERSION_1
  qtest_.write("writeb", kStatus, 0xb);
  qtest_.write("writew", kQueueSelect, 0);
  qtest_.write("writew", kQueueSize, kEntries);
  qtest_.write("writeq", kQueueDescriptors, kDescriptors);
  qtest_.write("writeq", kQueueAvailable, kAvailable);
  qtest_.write("writeq", kQueueUsed, kUsed);
  qtest_.write("writew", kQueueEnable, 1);
  qtest_.write("writeb", kStatus, kReady);
  if (qtest_.read("readb", kStatus) != kReady) {
    throw std::runtime_error{"the device does not accept its driver"};
  }
}

/// One request and its answer, of a descriptor each.
void VirtioMemDriver::request(std::uint16_t type, std::uint64_t gpa, std::uint16_t blocks) {
  qtest_.write("writew", kRequest, type);
  qtest_.write("writeq", kRequest + 8, gpa);
  qtest_.write("writew", kRequest + 16, blocks);
  qtest_.write("writeq", kDescriptors, kRequest);
  qtest_.write("writel", kDescriptors + 8, 24);
  qtest_.write("writew", kDescriptors + 12, 1); // continues
  qtest_.write("writew", kDescriptors + 14, 1);
  qtest_.write("writeq", kDescriptors + 16, kResponse);
  qtest_.write("writel", kDescriptors + 24, 10);
  qtest_.write("writew", kDescriptors + 28, 2); // the device writes
  qtest_.write("writew", kResponse, 0xffff);
  qtest_.write("writew", kAvailable + 4 + std::uint64_t{2} * (sent_ % kEntries), 0);
  ++sent_;
  qtest_.write("writew", kAvailable + 2, sent_);
  qtest_.write("writew", kNotify, 0);
  if (!test::eventually([&] { return qtest_.read("readw", kUsed + 2) == sent_; })) {
    throw std::runtime_error{"the device does not answer"};
  }
  if (const auto answer = qtest_.read("readw", kResponse); answer != 0) {
    throw std::runtime_error{fmt::format("the device refuses with {}", answer)};
  }
}

} // namespace vmemfs::qemu
