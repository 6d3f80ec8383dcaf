// SPDX-License-Identifier: MIT
// An opened device of LeechCore, in the worker process.
#pragma once

#include "core/error.h"
#include "drivers/leechcore/wire/shared_area.h"
#include "drivers/leechcore/wire/worker_message.h"
#include "drivers/leechcore/worker/library.h"

#include <cstdint>
#include <memory>
#include <string>

namespace vmemfs::leechcore {

/// Used by one thread. Closes the device at the end.
class Device {
public:
  /// Loads the library, opens the device and sets its memory map, if the request has one. A device may take
  /// seconds to find its memory.
  static Result<std::unique_ptr<Device>> open(const OpenRequest& request);
  ~Device();
  Device(const Device&) = delete;
  Device& operator=(const Device&) = delete;

  /// What the device is; without sequence and text.
  [[nodiscard]] Reply describe() const;
  /// LeechCore's text of the memory map; empty if the device has none.
  [[nodiscard]] std::string map() const;

  /// One scatter call for the first `count` elements of the area; sets their results. invalid, and nothing is
  /// done: an element does not lie within a page.
  Result<void> scatter(SharedArea& area, Operation operation, std::uint32_t count);

private:
  Device(const Library& library, const abi::Config& config, abi::Handle handle, abi::Scatter** elements);

  [[nodiscard]] std::uint64_t option(std::uint64_t number, std::uint64_t fallback) const;

  const Library library_;
  const abi::Config config_; ///< as the library filled it in
  abi::Handle handle_;
  abi::Scatter** const elements_; ///< kMaxPages of them
};

} // namespace vmemfs::leechcore
