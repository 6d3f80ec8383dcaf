// SPDX-License-Identifier: MIT
// A VM whose memory was saved in a file of any format of src/image/saved/.
#pragma once

#include "driver/driver.h"
#include "image/saved/saved_image.h"

#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace vmemfs {

class DumpDriver : public Driver, private RegisterReader {
public:
  /// `format`: a name of saved_formats(), or empty for what the content says.
  static Result<std::unique_ptr<DumpDriver>> open(const std::string& path, std::string_view format = {});

  const VmIdentity& identity() const override { return identity_; }
  std::shared_ptr<const MemoryMap> memory_map() const override { return map_; }
  void read(std::span<ReadPiece> pieces) override;
  bool frozen() const override { return true; }
  bool gone() const override { return false; }
  VcpuSet vcpus() const override {
    return VcpuSet::first(static_cast<std::uint32_t>(image_.registers.size()));
  }
  AccessReport access() const override;
  std::vector<ProbeResult> probe() const override;
  ReadCost read_cost() const override;
  RegisterReader* register_reader() override { return image_.registers.empty() ? nullptr : this; }

private:
  static Result<std::unique_ptr<DumpDriver>> try_open(const std::string& path, std::string_view format);
  DumpDriver(SavedFile file, SavedImage image, VmIdentity identity, std::shared_ptr<const MemoryMap> map);

  const RegisterLayout& register_layout() const override { return image_.registers.front().layout(); }
  Result<std::vector<RegisterSet>> read_registers(std::span<const VcpuId> vcpus) override;
  bool usually_has(RegisterIndex reg) const override { return image_.registers.front().get(reg).has_value(); }

  void read_piece(ReadPiece& piece) const;
  [[nodiscard]] tl::expected<std::size_t, ErrorKind> read_extent(const Extent& extent, Gpa gpa,
                                                                 std::span<std::byte> to) const;
  [[nodiscard]] const Extent* find_extent(Gpa gpa) const;

  const SavedFile file_;
  const SavedImage image_;
  const VmIdentity identity_;
  const std::shared_ptr<const MemoryMap> map_;
};

} // namespace vmemfs
