// SPDX-License-Identifier: MIT
// The VM of the simulator: memory whose bytes are known, and vCPUs with registers. It outlives its
// connections.
#pragma once

#include "simulators/kvmi/memory_device.h"
#include "simulators/kvmi/messages.h"

#include <array>
#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

namespace kvmi_simulator {

struct Ram {
  std::uint64_t gpa;
  std::uint64_t size;
};

/// The byte that a guest has at an address before anybody writes.
[[nodiscard]] std::uint8_t pattern(std::uint64_t gpa);

struct GuestOptions {
  std::string name = "simulated";
  std::uint8_t number = 1; ///< last byte of its uuid
  std::int64_t start_time = 1'700'000'000;
  std::uint32_t vcpus = 2;
  std::vector<Ram> ram{{0, 0xa0000}, {0x100000, 0x700000}};
  std::string image{}; ///< a file whose bytes the RAM has, by their addresses; empty: the pattern

  /// 11111111-2222-3333-4444-5555555555NN
  [[nodiscard]] std::string uuid() const;
};

/// Thread-safe.
class Guest {
public:
  explicit Guest(GuestOptions options);

  /// From now on its memory is that of the device too.
  void show_in(std::shared_ptr<MemoryDevice> device);

  [[nodiscard]] const GuestOptions& options() const { return options_; }
  [[nodiscard]] std::uint64_t end() const; ///< of its highest RAM

  /// Within one range of RAM; false if it is not.
  bool read(std::uint64_t gpa, std::size_t size, std::uint8_t* to) const;
  bool write(std::uint64_t gpa, std::size_t size, const std::uint8_t* from);
  /// The range of RAM that has an address.
  [[nodiscard]] std::optional<Ram> slot(std::uint64_t gpa) const;
  [[nodiscard]] std::vector<std::byte> bytes(std::uint64_t gpa, std::size_t size) const;

  using Registers = std::array<std::uint64_t, kRegisters>;
  [[nodiscard]] Registers registers(std::uint32_t vcpu) const;
  void set_registers(std::uint32_t vcpu, const Registers& values);
  [[nodiscard]] std::array<std::uint8_t, kSregsSize> sregs(std::uint32_t vcpu) const;
  /// False: there is no such MSR.
  [[nodiscard]] static bool msr(std::uint32_t vcpu, std::uint32_t index, std::uint64_t& value);

  [[nodiscard]] std::uint32_t vcpus() const;
  void plug_vcpu();
  /// Apart from what it has.
  void plug_ram(const Ram& range);

private:
  [[nodiscard]] const std::uint8_t* find(std::uint64_t gpa, std::size_t size) const;

  const GuestOptions options_;
  mutable std::mutex mutex_;
  std::map<std::uint64_t, std::vector<std::uint8_t>> ram_; ///< by its first address
  std::vector<Registers> registers_;
  std::shared_ptr<MemoryDevice> device_; ///< may be null
};

} // namespace kvmi_simulator
