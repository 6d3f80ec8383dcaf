// SPDX-License-Identifier: MIT
// Recorded answers of a real QEMU; samples/README.md describes how they were made.
#pragma once

#include <filesystem>
#include <fstream>
#include <iterator>
#include <stdexcept>
#include <string>

namespace vmemfs {

inline std::string read_sample(const std::string& name) {
  const auto path = std::filesystem::path{VMEMFS_SOURCE_DIR "/tests/drivers/qemu_protocol/samples"} / name;
  std::ifstream file{path, std::ios::binary};
  if (!file) {
    throw std::runtime_error{"no sample " + path.string()};
  }
  return {std::istreambuf_iterator<char>{file}, {}};
}

} // namespace vmemfs
