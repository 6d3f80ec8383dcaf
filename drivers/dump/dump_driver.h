// SPDX-License-Identifier: MIT
// A VM whose memory was saved in a file of any format of src/image/saved/.
#pragma once

#include "driver/driver.h"
#include "drivers/dump/directory/watched_file.h"
#include "image/saved/saved_image.h"

#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace vmemfs {

class DumpDriver : public Driver, private RegisterReader {
public:
  /// `format`: as of open_image(). `watched`: what the discovery knows of the file; null: it was named.
  static Result<std::unique_ptr<DumpDriver>> open(const std::string& path, std::string_view format = {},
                                                  std::shared_ptr<WatchedFile> watched = nullptr);
  ~DumpDriver() override;
  DumpDriver(const DumpDriver&) = delete;
  DumpDriver& operator=(const DumpDriver&) = delete;

  const VmIdentity& identity() const override { return identity_; }
  std::shared_ptr<const MemoryMap> memory_map() const override { return map_; }
  void read(std::span<ReadPiece> pieces) override;
  bool frozen() const override { return true; }
  bool gone() const override { return watched_ != nullptr && watched_->gone(); }
  void set_listener(VmListener* listener) override;
  VcpuSet vcpus() const override {
    return VcpuSet::first(static_cast<std::uint32_t>(image_.registers.size()));
  }
  AccessReport access() const override;
  std::vector<ProbeResult> probe() const override;
  ReadCost read_cost() const override;
  RegisterReader* register_reader() override { return image_.registers.empty() ? nullptr : this; }

private:
  static Result<std::unique_ptr<DumpDriver>> try_open(const std::string& path, std::string_view format,
                                                      std::shared_ptr<WatchedFile> watched);
  DumpDriver(SavedFile file, SavedImage image, VmIdentity identity, std::shared_ptr<const MemoryMap> map,
             std::shared_ptr<WatchedFile> watched);

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
  const std::shared_ptr<WatchedFile> watched_; ///< may be null
};

} // namespace vmemfs
