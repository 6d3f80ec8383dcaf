// SPDX-License-Identifier: MIT
#include "simulators/pmemaccess/guest.h"

#include <cinttypes>
#include <cstdio>
#include <cstring>
#include <fstream>
#include <iterator>
#include <stdexcept>

namespace pmemaccess_simulator {
namespace {

const MemoryRange* range_at(std::uint64_t address) {
  for (const MemoryRange& range : kMemory) {
    if (range.begin <= address && address < range.end) {
      return &range;
    }
  }
  return nullptr;
}

/// What is there before anybody writes.
std::uint8_t original(std::uint64_t address) {
  return static_cast<std::uint8_t>(address * 5 + (address >> 12U) * 3 + (address >> 32U) + 1);
}

template <typename... Args> std::string print(const char* format, Args... args) {
  std::array<char, 256> line{};
  std::snprintf(line.data(), line.size(), format, args...);
  return line.data();
}

} // namespace

Guest::Guest(const std::string& image) {
  if (!image.empty()) {
    std::ifstream file{image, std::ios::binary};
    image_.assign(std::istreambuf_iterator<char>{file}, {});
  }
}

bool Guest::readable(std::uint64_t address) const {
  for (const auto& [begin, end] : bad_) {
    if (begin <= address && address < end) {
      return false;
    }
  }
  return range_at(address) != nullptr;
}

std::uint8_t Guest::at(std::uint64_t address) const {
  const auto found = written_.find(address);
  return found != written_.end()   ? found->second
         : address < image_.size() ? image_[address]
                                   : original(address);
}

bool Guest::read(std::uint64_t address, std::size_t size, std::vector<std::uint8_t>& bytes) {
  const std::lock_guard lock{mutex_};
  bytes.reserve(size + 1); // for the status
  bytes.assign(size, 0);
  const MemoryRange* const range = range_at(address);
  if (range != nullptr && size <= range->end - address && bad_.empty() && written_.empty()) { // benchmarks
    if (size <= image_.size() && address <= image_.size() - size) {
      std::memcpy(bytes.data(), image_.data() + address, size);
      return true;
    }
    for (std::size_t i = 0; i < size; ++i) {
      bytes[i] = original(address + i);
    }
    return true;
  }
  for (std::size_t i = 0; i < size; ++i) {
    if (!readable(address + i)) {
      return false;
    }
    bytes[i] = at(address + i);
  }
  return true;
}

std::vector<std::byte> Guest::bytes(std::uint64_t address, std::size_t size) {
  std::vector<std::uint8_t> bytes;
  if (!read(address, size, bytes)) {
    throw std::runtime_error{"the simulated guest has no memory there"};
  }
  std::vector<std::byte> copy(size);
  std::memcpy(copy.data(), bytes.data(), size);
  return copy;
}

std::size_t Guest::write(std::uint64_t address, const std::uint8_t* bytes, std::size_t size) {
  const std::lock_guard lock{mutex_};
  for (std::size_t i = 0; i < size; ++i) {
    if (!readable(address + i) || range_at(address + i)->rom) {
      return i;
    }
    written_[address + i] = bytes[i];
  }
  return size;
}

void Guest::make_bad(std::uint64_t begin, std::uint64_t end) {
  const std::lock_guard lock{mutex_};
  bad_.emplace_back(begin, end);
}

std::string Guest::mtree() {
  std::string text = "FlatView #0\r\n AS \"I/O\", root: io\r\n Root memory region: io\r\n"
                     "  0000000000000000-0000000000000007 (prio 0, i/o): dma-chan\r\n\r\n"
                     "FlatView #1\r\n AS \"memory\", root: system\r\n AS \"cpu-memory-0\", root: system\r\n"
                     " Root memory region: system\r\n";
  for (const MemoryRange& range : kMemory) {
    text += print("  %016" PRIx64 "-%016" PRIx64 " (prio 0, %s): %s", range.begin, range.end - 1,
                  range.rom ? "rom" : "ram", range.name);
    text +=
        range.begin != 0 && range.name == std::string{"pc.ram"} ? print(" @%016" PRIx64, range.begin) : "";
    text += "\r\n";
    if (range.end == 0xa0000) {
      text += "  00000000000a0000-00000000000bffff (prio 1, i/o): vga-lowmem\r\n";
    }
  }
  return text + "\r\n";
}

std::string Guest::registers(unsigned vcpus) {
  std::string text;
  for (unsigned i = 0; i < vcpus; ++i) {
    text += print("CPU#%u\r\n", i);
    text += print("RAX=%016x RBX=%016x RCX=%016x RDX=%016x\r\n", 0x100 + i, 0x200 + i, 0x300 + i, 0x400 + i);
    text += print("RSI=%016x RDI=%016x RBP=%016x RSP=%016x\r\n", 5, 6, 7, 8);
    text += print("R8 =%016x R9 =%016x R10=%016x R11=%016x\r\n", 9, 10, 11, 12);
    text += print("R12=%016x R13=%016x R14=%016x R15=%016x\r\n", 13, 14, 15, 16);
    text += print("RIP=%016x RFL=%08x [---Z-P-] CPL=0 II=0 A20=1 SMM=0 HLT=1\r\n", 0x1000 + i, 0x46);
    for (const char* const segment : {"ES", "CS", "SS", "DS", "FS", "GS"}) {
      text += print("%s =0010 %016x ffffffff 00cf9300 DPL=0 DS   [-WA]\r\n", segment, 0);
    }
    text += print("LDT=0000 %016x 0000ffff 00008200 DPL=0 LDT\r\n", 0);
    text += print("TR =0000 %016x 0000ffff 00008b00 DPL=0 TSS64-busy\r\n", 0);
    text += print("GDT=     %016x 00000047\r\nIDT=     %016x 00000fff\r\n", 0x5000, 0x6000);
    text += print("CR0=80010033 CR2=%016x CR3=%016x CR4=00000668\r\n", 0, 0x801000);
    text += print("DR0=%016x DR1=%016x DR2=%016x DR3=%016x \r\n", 0, 0, 0, 0);
    text += print("DR6=%016x DR7=%016x\r\nEFER=%016x\r\n\r\n", 0xffff0ff0U, 0x400, 0xd00);
  }
  return text;
}

} // namespace pmemaccess_simulator
