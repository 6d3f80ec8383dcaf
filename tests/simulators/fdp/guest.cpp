// SPDX-License-Identifier: MIT
#include "simulators/fdp/guest.h"

#include <algorithm>
#include <stdexcept>

namespace fdp_simulator {
namespace {

constexpr std::uint64_t k4GiB = std::uint64_t{1} << 32U;

std::uint8_t byte_at(std::uint64_t address) {
  return static_cast<std::uint8_t>(address * 7 + address / 4096 * 13 + (address >> 32U) * 29 + 1);
}

} // namespace

bool Guest::has_memory(std::uint64_t address) const {
  if (std::ranges::any_of(
          bad_, [&](const auto& range) { return range.first <= address && address < range.second; })) {
    return false;
  }
  if (0xa0000 <= address && address < 0xc0000) { // the video memory
    return false;
  }
  if (0xe8000 <= address && address < 0xf0000) {
    return false;
  }
  if (0xc0000 <= address && address < 0x100000) {
    return options_.firmware;
  }
  const std::uint64_t below = std::min(options_.ram_bytes, k4GiB - options_.hole_bytes);
  return address < below || (k4GiB <= address && address < k4GiB + options_.ram_bytes - below);
}

bool Guest::read(std::uint64_t address, std::size_t size, std::uint8_t* bytes) {
  const std::lock_guard lock{mutex_};
  for (std::size_t i = 0; i < size; ++i) {
    const std::uint64_t at = address + i;
    if ((i == 0 || at % 4096 == 0) && !has_memory(at)) {
      return false;
    }
    bytes[i] = byte_at(at);
  }
  for (auto at = written_.lower_bound(address); at != written_.end() && at->first < address + size; ++at) {
    bytes[at->first - address] = at->second;
  }
  return true;
}

std::vector<std::byte> Guest::bytes(std::uint64_t address, std::size_t size) {
  std::vector<std::byte> bytes(size);
  if (!read(address, size, reinterpret_cast<std::uint8_t*>(bytes.data()))) {
    throw std::runtime_error{"the simulated guest has no memory there"};
  }
  return bytes;
}

bool Guest::write(std::uint64_t address, std::size_t size, const std::uint8_t* bytes) {
  std::vector<std::uint8_t> before(size);
  if (!read(address, size, before.data())) {
    return false;
  }
  const std::lock_guard lock{mutex_};
  for (std::size_t i = 0; i < size; ++i) {
    written_[address + i] = bytes[i];
  }
  return true;
}

void Guest::make_bad(std::uint64_t begin, std::uint64_t end) {
  const std::lock_guard lock{mutex_};
  bad_.emplace_back(begin, end);
}

/// Of each vCPU and each register another one; selectors have 16 bits. The registers of a second set of debug
/// registers are the same ones.
std::uint64_t Guest::get_register(std::uint32_t cpu, std::uint16_t id) {
  if (cpu >= options_.vcpus || id > 49) {
    return kUnknown;
  }
  const std::lock_guard lock{mutex_};
  if (const auto set = registers_.find({cpu, id}); set != registers_.end()) {
    return set->second;
  }
  const bool selector = (29 <= id && id <= 34) || id == 46 || id == 49;
  return selector ? 8U * id + cpu : 0x1000'0000'0000 * (cpu + 1) + 0x1'0001 * id;
}

void Guest::set_register(std::uint32_t cpu, std::uint16_t id, std::uint64_t value) {
  const std::lock_guard lock{mutex_};
  registers_[{cpu, id}] = value;
}

/// Others than these are not known.
std::uint64_t Guest::get_msr(std::uint32_t cpu, std::uint64_t msr) {
  const std::lock_guard lock{mutex_};
  if (const auto set = msrs_.find({cpu, msr}); set != msrs_.end()) {
    return set->second;
  }
  switch (msr) {
  case 0xC0000080: return 0xd01;
  case 0xC0000100: return 0x7f00'0000'1000 + cpu;
  case 0xC0000101: return 0xffff'8880'0000'2000 + cpu;
  case 0xC0000102: return 0x3000 + cpu;
  default: return kUnknown;
  }
}

void Guest::set_msr(std::uint32_t cpu, std::uint64_t msr, std::uint64_t value) {
  const std::lock_guard lock{mutex_};
  msrs_[{cpu, msr}] = value;
}

} // namespace fdp_simulator
