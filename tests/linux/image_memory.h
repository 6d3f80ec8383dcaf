// SPDX-License-Identifier: MIT
// A kernel's memory that is one piece of bytes.
#pragma once

#include "linux/kernel_memory.h"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>
#include <utility>
#include <vector>

namespace vmemfs::test {

class ImageMemory final : public KernelMemory {
public:
  ImageMemory(std::uint64_t begin, std::vector<std::byte> bytes) : begin_{begin}, bytes_{std::move(bytes)} {}

  [[nodiscard]] std::size_t read(std::uint64_t address, std::span<std::byte> buffer) override {
    if (address < begin_ || address - begin_ >= bytes_.size()) {
      return 0;
    }
    const std::uint64_t offset = address - begin_;
    const std::size_t size = std::min<std::uint64_t>(buffer.size(), bytes_.size() - offset);
    std::copy_n(bytes_.begin() + static_cast<std::ptrdiff_t>(offset), size, buffer.begin());
    return size;
  }
  [[nodiscard]] std::size_t read_user(std::uint64_t /*top_table*/, std::uint64_t /*address*/,
                                      std::span<std::byte> /*buffer*/) override {
    return 0;
  }

private:
  const std::uint64_t begin_;
  const std::vector<std::byte> bytes_;
};

} // namespace vmemfs::test
