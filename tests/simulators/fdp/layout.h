// SPDX-License-Identifier: MIT
// The shared memory and the packets of FDP, as VirtualBox's side has them.
#pragma once

#include <cstddef>
#include <cstdint>

namespace fdp_simulator {

#pragma pack(push, 1)
struct Channel {
  std::uint8_t data[10 * 1024 * 1024];
  std::uint32_t size;
  std::uint8_t lock;
  std::uint8_t present;
  std::uint8_t status;
  std::uint8_t padding;
};

struct Shared {
  std::uint8_t lock;
  std::uint8_t state_lock;
  std::uint8_t state_changed;
  std::uint8_t padding;
  Channel to_server;
  Channel to_client;
};
#pragma pack(pop)
static_assert(sizeof(Channel) == 10'485'768 && sizeof(Shared) == 20'971'540);

inline constexpr std::size_t kCpuBytes = 224;

// As the compiler lays them out: natural alignment.
struct CpuPacket { // state, CPU state, single step
  std::uint8_t type;
  std::uint32_t cpu;
};
struct MemoryPacket {
  std::uint8_t type;
  std::uint32_t cpu;
  std::uint64_t address;
  std::uint32_t size;
};
struct WritePacket {
  std::uint8_t type;
  std::uint64_t address;
  std::uint32_t size;
  std::uint8_t data[1]; ///< and as many as there are
};
struct RegisterPacket {
  std::uint8_t type;
  std::uint32_t cpu;
  std::uint16_t id;
};
struct RegisterWritePacket {
  std::uint8_t type;
  std::uint32_t cpu;
  std::uint16_t id;
  std::uint64_t value;
};
struct MsrPacket {
  std::uint8_t type;
  std::uint32_t cpu;
  std::uint64_t msr;
};
struct MsrWritePacket {
  std::uint8_t type;
  std::uint32_t cpu;
  std::uint64_t msr;
  std::uint64_t value;
};
static_assert(sizeof(CpuPacket) == 8 && sizeof(MemoryPacket) == 24 && sizeof(WritePacket) == 24 &&
              offsetof(WritePacket, data) == 20 && sizeof(RegisterPacket) == 12 &&
              sizeof(RegisterWritePacket) == 24 && sizeof(MsrPacket) == 16 && sizeof(MsrWritePacket) == 24);

} // namespace fdp_simulator
