// SPDX-License-Identifier: MIT
// The driver over the stand-in library of tests/simulators/leechcore.
#pragma once

#include "driver/driver.h"
#include "driver/driver_type.h"
#include "drivers/leechcore/leechcore_runtime.h"
#include "drivers/leechcore/leechcore_type.h"
#include "support/files.h"
#include "util/fd_watcher.h"
#include "util/worker.h"

#include <cstddef>
#include <cstring>
#include <fmt/format.h>
#include <memory>
#include <random>
#include <string>
#include <string_view>
#include <vector>

namespace vmemfs::test {

/// The worker's comm, cut to 15 bytes by the kernel.
inline constexpr std::string_view kLeechcoreComm = "vmemfs-leechcor";

/// An image of random bytes, and what opens it.
class LeechcoreImage {
public:
  static constexpr std::size_t kSize = std::size_t{24} << 20;

  LeechcoreImage() : bytes_(kSize, '\0') {
    std::mt19937_64 random{7};
    for (std::size_t i = 0; i < bytes_.size(); i += sizeof(std::uint64_t)) {
      const std::uint64_t word = random();
      std::memcpy(bytes_.data() + i, &word, sizeof word);
    }
    write_file(path(), bytes_);
  }

  [[nodiscard]] std::string path() const { return dir_ / "image.raw"; }
  [[nodiscard]] const TempDir& dir() const { return dir_; }
  [[nodiscard]] std::vector<std::byte> truth(std::uint64_t at, std::size_t size) const {
    const auto* const begin = reinterpret_cast<const std::byte*>(bytes_.data()) + at;
    return {begin, begin + size};
  }
  /// `DEVICE:` TYPE, with the image and these parts of the stand-in's script.
  [[nodiscard]] std::string device(std::string_view type, std::string_view script = {}) const {
    return fmt::format("{}://file={}{}{}", type, path(), script.empty() ? "" : ",", script);
  }

private:
  TempDir dir_;
  std::string bytes_;
};

/// The text of the parameters for the stand-in.
inline std::string leechcore_params(std::string_view device, std::string_view more = {}) {
  return fmt::format("library={},device=\"{}\"{}{}", VMEMFS_LEECHCORE_STAND_IN, device,
                     more.empty() ? "" : ",", more);
}

inline Result<std::unique_ptr<Driver>> open_leechcore(std::string_view params, DriverContext context) {
  context.runtime = std::make_shared<leechcore::LeechcoreRuntime>(VMEMFS_LEECHCORE_WORKER);
  auto parsed = Params::parse(params, leechcore_driver_type().params());
  return parsed ? leechcore_driver_type().open(*parsed, context) : tl::unexpected{std::move(parsed.error())};
}

} // namespace vmemfs::test
