// SPDX-License-Identifier: MIT
#include "simulators/kvmi/guest.h"

#include <algorithm>
#include <cstdio>
#include <cstring>
#include <fstream>

namespace kvmi_simulator {
namespace {

void put(std::uint8_t* at, std::uint64_t value, std::size_t size) { std::memcpy(at, &value, size); }

} // namespace

std::uint8_t pattern(std::uint64_t gpa) {
  return static_cast<std::uint8_t>(gpa * 7 + (gpa >> 8U) * 13 + (gpa >> 20U));
}

std::string GuestOptions::uuid() const {
  char text[40];
  std::snprintf(text, sizeof text, "11111111-2222-3333-4444-5555555555%02x", number);
  return text;
}

Guest::Guest(GuestOptions options) : options_{std::move(options)} {
  for (const Ram& range : options_.ram) {
    plug_ram(range);
  }
  for (std::uint32_t i = 0; i < options_.vcpus; ++i) {
    plug_vcpu();
  }
}

void Guest::show_in(std::shared_ptr<MemoryDevice> device) {
  const std::lock_guard lock{mutex_};
  device_ = std::move(device);
  for (const auto& [gpa, bytes] : ram_) {
    device_->store(gpa, bytes.data(), bytes.size());
  }
}

void Guest::plug_ram(const Ram& range) {
  std::vector<std::uint8_t> bytes(range.size);
  if (!options_.image.empty()) {
    std::ifstream image{options_.image, std::ios::binary};
    image.seekg(static_cast<std::streamoff>(range.gpa));
    image.read(reinterpret_cast<char*>(bytes.data()), static_cast<std::streamsize>(bytes.size()));
  }
  for (std::uint64_t i = 0; options_.image.empty() && i < range.size; ++i) {
    bytes[i] = pattern(range.gpa + i);
  }
  const std::lock_guard lock{mutex_};
  if (device_ != nullptr) {
    device_->store(range.gpa, bytes.data(), bytes.size());
  }
  ram_[range.gpa] = std::move(bytes);
}

std::uint64_t Guest::end() const {
  const std::lock_guard lock{mutex_};
  return ram_.rbegin()->first + ram_.rbegin()->second.size();
}

std::uint32_t Guest::vcpus() const {
  const std::lock_guard lock{mutex_};
  return static_cast<std::uint32_t>(registers_.size());
}

void Guest::plug_vcpu() {
  const std::lock_guard lock{mutex_};
  Registers values{};
  const std::uint64_t vcpu = registers_.size();
  for (unsigned i = 0; i < kRegisters; ++i) {
    values.at(i) = 0x1000 * (i + 1) + vcpu;
  }
  values.at(kRip) = 0xffffffff81000000 + 0x10 * vcpu;
  registers_.push_back(values);
}

const std::uint8_t* Guest::find(std::uint64_t gpa, std::size_t size) const {
  auto next = ram_.upper_bound(gpa);
  if (next == ram_.begin()) {
    return nullptr;
  }
  --next;
  const std::uint64_t offset = gpa - next->first;
  return offset < next->second.size() && size <= next->second.size() - offset ? &next->second[offset]
                                                                              : nullptr;
}

bool Guest::read(std::uint64_t gpa, std::size_t size, std::uint8_t* to) const {
  const std::lock_guard lock{mutex_};
  const std::uint8_t* const from = find(gpa, size);
  if (from != nullptr && size > 0) {
    std::memcpy(to, from, size);
  }
  return from != nullptr;
}

bool Guest::write(std::uint64_t gpa, std::size_t size, const std::uint8_t* from) {
  const std::lock_guard lock{mutex_};
  const std::uint8_t* const to = find(gpa, size);
  if (to != nullptr) {
    std::memcpy(const_cast<std::uint8_t*>(to), from, size);
    if (device_ != nullptr) {
      device_->store(gpa, from, size);
    }
  }
  return to != nullptr;
}

std::optional<Ram> Guest::slot(std::uint64_t gpa) const {
  const std::lock_guard lock{mutex_};
  for (const auto& [begin, bytes] : ram_) {
    if (gpa >= begin && gpa - begin < bytes.size()) {
      return Ram{begin, bytes.size()};
    }
  }
  return std::nullopt;
}

std::vector<std::byte> Guest::bytes(std::uint64_t gpa, std::size_t size) const {
  std::vector<std::byte> result(size);
  read(gpa, size, reinterpret_cast<std::uint8_t*>(result.data()));
  return result;
}

Guest::Registers Guest::registers(std::uint32_t vcpu) const {
  const std::lock_guard lock{mutex_};
  return registers_.at(vcpu);
}

void Guest::set_registers(std::uint32_t vcpu, const Registers& values) {
  const std::lock_guard lock{mutex_};
  registers_.at(vcpu) = values;
}

/// A vCPU in long mode: offsets within kvm_sregs are those of the protocol's description.
std::array<std::uint8_t, kSregsSize> Guest::sregs(std::uint32_t vcpu) const {
  std::array<std::uint8_t, kSregsSize> bytes{};
  put(&bytes[8], 0xffffffff, 4); // cs: limit, selector, type, present, dpl, db, s, l, g
  put(&bytes[12], 0x10, 2);
  bytes[14] = 0xb;
  bytes[15] = 1;
  bytes[18] = 1;
  bytes[19] = 1;
  bytes[20] = 1;
  put(&bytes[96], 0xffff888000000000 + vcpu, 8); // gs: base
  put(&bytes[192], 0xfffffe0000001000, 8);       // gdt: base, limit
  put(&bytes[200], 0x7f, 2);
  put(&bytes[208], 0xfffffe0000000000, 8); // idt
  put(&bytes[216], 0xfff, 2);
  put(&bytes[224], 0x80050033, 8);                         // cr0
  put(&bytes[240], 0x1000 * (vcpu + std::uint64_t{1}), 8); // cr3
  put(&bytes[248], 0x6f0, 8);                              // cr4
  put(&bytes[264], 0xd01, 8);                              // efer
  return bytes;
}

bool Guest::msr(std::uint32_t vcpu, std::uint32_t index, std::uint64_t& value) {
  constexpr std::array<std::uint32_t, 9> kKnown{0x174,      0x175,      0x176,      0x277,     0xc0000081,
                                                0xc0000082, 0xc0000083, 0xc0000084, 0xc0000102};
  value = 0xabc00000ULL * 0x1000 + index + vcpu;
  return std::ranges::find(kKnown, index) != kKnown.end();
}

} // namespace kvmi_simulator
