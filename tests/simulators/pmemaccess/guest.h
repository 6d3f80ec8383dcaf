// SPDX-License-Identifier: MIT
// The guest of the simulator: memory that is a function of the address, and what was written over it.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <map>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

namespace pmemaccess_simulator {

struct MemoryRange {
  std::uint64_t begin;
  std::uint64_t end; ///< excluded
  bool rom;
  const char* name; ///< of QEMU's memory region
};

/// As of a `pc` with 2 GiB below and 2 GiB above 4 GiB.
inline constexpr std::array<MemoryRange, 6> kMemory{{
    {0, 0xa0000, false, "pc.ram"},
    {0xc0000, 0xe0000, true, "pc.ram"},
    {0x100000, 0x7ffe0000, false, "pc.ram"},
    {0xfd000000, 0xfe000000, false, "vga.vram"},
    {0xfffc0000, 0x100000000, true, "pc.bios"},
    {0x100000000, 0x180000000, false, "pc.ram"},
}};

/// Thread-safe.
class Guest {
public:
  /// `image`: see Options.
  explicit Guest(const std::string& image = {});

  /// Whether all of the range can be read. The bytes before the first that cannot are in `bytes` in any case.
  bool read(std::uint64_t address, std::size_t size, std::vector<std::uint8_t>& bytes);
  /// The same; std::runtime_error if it cannot.
  [[nodiscard]] std::vector<std::byte> bytes(std::uint64_t address, std::size_t size);
  /// How many bytes from the start were written.
  std::size_t write(std::uint64_t address, const std::uint8_t* bytes, std::size_t size);
  /// From now on reads of this range fail, though it is in the map.
  void make_bad(std::uint64_t begin, std::uint64_t end);

  [[nodiscard]] static std::string mtree();
  [[nodiscard]] static std::string registers(unsigned vcpus);

private:
  [[nodiscard]] bool readable(std::uint64_t address) const;
  [[nodiscard]] std::uint8_t at(std::uint64_t address) const;

  std::vector<std::uint8_t> image_;
  std::mutex mutex_;
  std::map<std::uint64_t, std::uint8_t> written_;
  std::vector<std::pair<std::uint64_t, std::uint64_t>> bad_;
};

} // namespace pmemaccess_simulator
