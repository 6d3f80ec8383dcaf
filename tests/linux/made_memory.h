// SPDX-License-Identifier: MIT
// A made memory of a Linux kernel and its processes, for tests.
#pragma once

#include "linux/kernel_memory.h"

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <functional>
#include <map>
#include <span>
#include <string_view>
#include <type_traits>
#include <utility>

namespace vmemfs {

/// Pages are mapped when they are written to. Not thread-safe.
class MadeMemory final : public KernelMemory {
public:
  static constexpr std::uint64_t kPageBytes = 4096;

  [[nodiscard]] std::size_t read(std::uint64_t address, std::span<std::byte> buffer) override {
    if (before_read) {
      before_read(address);
    }
    return copy_from(0, address, buffer);
  }
  [[nodiscard]] std::size_t read_user(std::uint64_t top_table, std::uint64_t address,
                                      std::span<std::byte> buffer) override {
    return copy_from(top_table, address, buffer);
  }

  /// `space`: 0 is the kernel's memory, else the top table of a process.
  void write_bytes(std::uint64_t address, std::span<const std::byte> bytes, std::uint64_t space = 0) {
    while (!bytes.empty()) {
      const std::uint64_t offset = address % kPageBytes;
      const std::size_t size = std::min<std::size_t>(bytes.size(), kPageBytes - offset);
      std::memcpy(pages_[{space, address - offset}].data() + offset, bytes.data(), size);
      address += size;
      bytes = bytes.subspan(size);
    }
  }
  void write_text(std::uint64_t address, std::string_view text, std::uint64_t space = 0) {
    write_bytes(address, std::as_bytes(std::span{text}), space);
  }
  template <typename T>
    requires std::is_trivially_copyable_v<T>
  void write(std::uint64_t address, const T& value) {
    write_bytes(address, std::as_bytes(std::span{&value, 1}));
  }
  void unmap(std::uint64_t address) { pages_.erase({0, address - address % kPageBytes}); }

  /// If set: called with the address of each read of the kernel's memory, which it may change.
  std::function<void(std::uint64_t)> before_read;

private:
  [[nodiscard]] std::size_t copy_from(std::uint64_t space, std::uint64_t address,
                                      std::span<std::byte> buffer) const {
    std::size_t done = 0;
    while (done < buffer.size()) {
      const std::uint64_t offset = (address + done) % kPageBytes;
      const auto page = pages_.find({space, address + done - offset});
      if (page == pages_.end()) {
        break;
      }
      const std::size_t size = std::min<std::size_t>(buffer.size() - done, kPageBytes - offset);
      std::memcpy(buffer.data() + done, page->second.data() + offset, size);
      done += size;
    }
    return done;
  }

  std::map<std::pair<std::uint64_t, std::uint64_t>, std::array<std::byte, kPageBytes>> pages_;
};

} // namespace vmemfs
