// SPDX-License-Identifier: MIT
// `core` of a real guest, compared with what QEMU dumps of it, and opened by gdb and readelf.
#include "elf_file.h"
#include "support/mount.h"
#include "support/qemu_guest.h"

#include <algorithm>
#include <cstring>
#include <filesystem>
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <string>

namespace vmemfs::test {
namespace {

using testing::HasSubstr;
using testing::Not;

/// Two vCPUs, of which the second one stays where the firmware left it, and a DIMM.
GuestOptions options() {
  GuestOptions options;
  options.memory = "64M,slots=1,maxmem=1G";
  options.extra = {
      "-smp", "2", "-object", "memory-backend-ram,id=dimm,size=128M", "-device", "pc-dimm,memdev=dimm"};
  return options;
}

class CoreImage : public testing::Test {
protected:
  CoreImage() { guest_.pause(); }

  [[nodiscard]] std::string path() const { return mount_ / "vm/core"; }
  [[nodiscard]] ElfFile core() const { return ElfFile{read_file(path())}; }
  /// The guest as QEMU dumps it.
  [[nodiscard]] ElfFile dump() {
    const std::string path = guest_.dir() / "dump";
    guest_.monitor().execute("dump-guest-memory", {{"paging", false}, {"protocol", "file:" + path}});
    return ElfFile{read_file(path)};
  }

  QemuGuest guest_{options()};
  Mount mount_{{"--vm", fmt::format("vm=qemu:qmp={}", guest_.driver_socket())}};
};

TEST_F(CoreImage, Memory_IsThatOfQemusDump) {
  const ElfFile ours = core();
  const ElfFile theirs = dump();
  EXPECT_EQ(ours.size(), std::filesystem::file_size(path()));
  const auto theirs_loads = theirs.headers(PT_LOAD);
  std::uint64_t compared = 0;
  std::uint64_t all = 0;
  for (const Elf64_Phdr& load : ours.headers(PT_LOAD)) {
    all += load.p_filesz;
    for (const Elf64_Phdr& other : theirs_loads) {
      const std::uint64_t begin = std::max(load.p_paddr, other.p_paddr);
      const std::uint64_t end = std::min(load.p_paddr + load.p_filesz, other.p_paddr + other.p_filesz);
      if (begin >= end) {
        continue;
      }
      EXPECT_TRUE(ours.part(load.p_offset + (begin - load.p_paddr), end - begin) ==
                  theirs.part(other.p_offset + (begin - other.p_paddr), end - begin))
          << std::hex << begin;
      compared += end - begin;
    }
  }
  EXPECT_EQ(compared, all) << "QEMU has all that we have";
  std::uint64_t theirs_all = 0;
  for (const Elf64_Phdr& other : theirs_loads) {
    theirs_all += other.p_filesz;
  }
  EXPECT_EQ(compared, theirs_all) << "and nothing else";
}

std::uint64_t number_at(const std::string& bytes, std::size_t offset) {
  std::uint64_t value = 0;
  std::memcpy(&value, bytes.data() + offset, sizeof value);
  return value;
}

void clear_bits(std::string& bytes, std::size_t offset, std::uint64_t bits) {
  const std::uint64_t value = number_at(bytes, offset) & ~bits;
  std::memcpy(bytes.data() + offset, &value, sizeof value);
}

/// QEMU's dump leaves out the flags of the last result, which TCG computes late.
constexpr std::uint64_t kResultFlags = 0x8d5;

TEST_F(CoreImage, Notes_AreThoseOfQemusDump) {
  const ElfFile ours = core();
  const ElfFile theirs = dump();
  for (const char* const name : {"CORE", "QEMU"}) {
    auto our_notes = ours.notes(name);
    auto their_notes = theirs.notes(name);
    ASSERT_EQ(our_notes.size(), 2U) << name;
    ASSERT_EQ(their_notes.size(), 2U) << name;
    const bool is_core = std::string_view{name} == "CORE";
    for (std::size_t cpu = 0; cpu < 2; ++cpu) {
      for (std::string* const note : {&our_notes[cpu], &their_notes[cpu]}) {
        clear_bits(*note, is_core ? 112 + 18 * 8 : 144, kResultFlags);
        for (std::size_t segment = 0; !is_core && segment < 10; ++segment) {
          // Bits of the base are not in what the monitor prints of a descriptor.
          clear_bits(*note, 152 + segment * 24 + 8, 0xff0000ffU);
        }
      }
      ASSERT_EQ(our_notes[cpu].size(), their_notes[cpu].size()) << name;
      if (!is_core) { // kernel_gs_base, which the monitor does not print
        clear_bits(their_notes[cpu], 432, ~std::uint64_t{0});
      }
      for (std::size_t at = 0; at < our_notes[cpu].size(); at += 8) {
        EXPECT_EQ(number_at(our_notes[cpu], at), number_at(their_notes[cpu], at))
            << name << " of vCPU " << cpu << ", offset " << at;
      }
    }
  }
}

TEST_F(CoreImage, Readelf_AcceptsIt) {
  const auto result = run({"readelf", "-hlnW", path()});
  EXPECT_EQ(result.code, 0);
  EXPECT_THAT(result.text, Not(testing::AnyOf(HasSubstr("Warning"), HasSubstr("Error"))));
  EXPECT_THAT(result.text, HasSubstr("NT_PRSTATUS"));
}

TEST_F(CoreImage, Gdb_ReadsPhysicalMemoryAndRegisters) {
  constexpr std::uint64_t kAddress = 0x1000000; // the guest's pattern begins there
  std::uint64_t truth = 0;
  std::memcpy(&truth, guest_.pmemsave(kAddress, sizeof truth).data(), sizeof truth);
  const auto result =
      run({"gdb", "-nx", "-batch", "-ex", "set debuginfod enabled off", "-ex", "core-file " + path(), "-ex",
           fmt::format("x/xg {:#x}", kAddress), "-ex", "info threads", "-ex", "p/x $rip"});
  EXPECT_THAT(result.text, HasSubstr(fmt::format("{:#x}:\t{:#018x}", kAddress, truth)));
  const std::string rip = line_with(read_file(mount_ / "vm/vcpus/0/regs"), "rip ");
  const auto number = std::stoull(rip.substr(4), nullptr, 16);
  EXPECT_THAT(result.text, HasSubstr(fmt::format("{:#x}\n", number)));
  EXPECT_THAT(result.text, HasSubstr("LWP 2"));
}

} // namespace
} // namespace vmemfs::test
