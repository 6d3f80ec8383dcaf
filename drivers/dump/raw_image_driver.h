// SPDX-License-Identifier: MIT
// A raw memory image: a file whose offsets are guest physical addresses.
#pragma once

#include "driver/driver.h"
#include "util/unique_fd.h"

#include <string>

namespace vmemfs {

class RawImageDriver : public Driver {
public:
  static Result<std::unique_ptr<RawImageDriver>> open(const std::string& path);

  const VmIdentity& identity() const override { return identity_; }
  std::shared_ptr<const MemoryMap> memory_map() const override { return map_; }
  void read(std::span<ReadPiece> pieces) override;
  bool frozen() const override { return true; }
  bool gone() const override { return false; }
  AccessReport access() const override;

private:
  RawImageDriver(UniqueFd file, VmIdentity identity, std::shared_ptr<const MemoryMap> map);

  UniqueFd file_;
  VmIdentity identity_;
  std::shared_ptr<const MemoryMap> map_;
};

} // namespace vmemfs
