// SPDX-License-Identifier: MIT
#include "arch/x86_64/registers.h"
#include "fs/files/image_file.h"
#include "support/recording_reply.h"
#include "vm_fixture.h"

#include <cstring>
#include <elf.h>
#include <gtest/gtest.h>
#include <string>
#include <vector>

namespace vmemfs::test {
namespace {

constexpr std::uint64_t kMiB = 1U << 20U;

/// 4 MiB of RAM with a hole in the second one, and three vCPUs.
FakeOptions guest() {
  FakeOptions options;
  options.size = 4 * kMiB;
  options.vcpus = 3;
  options.holes = {GpaRange{Gpa{kMiB}, Gpa{2 * kMiB}}};
  return options;
}

struct CoreFile : testing::Test {
  std::vector<Elf64_Phdr> headers(std::uint32_t type) {
    const auto header = at<Elf64_Ehdr>(0);
    std::vector<Elf64_Phdr> found;
    for (std::size_t i = 0; i < header.e_phnum; ++i) {
      const auto program = at<Elf64_Phdr>(header.e_phoff + i * sizeof(Elf64_Phdr));
      if (program.p_type == type) {
        found.push_back(program);
      }
    }
    return found;
  }
  std::string bytes_at(std::uint64_t offset, std::size_t size) {
    return read_file(file, offset, size)->bytes();
  }
  template <typename T> T at(std::uint64_t offset) {
    T value{};
    const std::string bytes = bytes_at(offset, sizeof value);
    EXPECT_EQ(bytes.size(), sizeof value);
    std::memcpy(&value, bytes.data(), std::min(bytes.size(), sizeof value));
    return value;
  }
  std::size_t register_reads() const {
    return static_cast<std::size_t>(std::ranges::count(fixture.fake->calls(), "read_registers"));
  }

  VmFixture fixture{guest()};
  ImageFile file{guest_of(fixture.vm), core_format()};
};

TEST_F(CoreFile, Segments_HaveTheMemory) {
  const auto loads = headers(PT_LOAD);
  ASSERT_EQ(loads.size(), 2U);
  EXPECT_EQ(loads[0].p_paddr, 0U);
  EXPECT_EQ(loads[1].p_paddr, 2 * kMiB);
  EXPECT_EQ(loads[1].p_filesz, 2 * kMiB);
  for (const std::uint64_t at_offset : {std::uint64_t{0}, kMiB, 2 * kMiB - 8}) {
    EXPECT_EQ(at<std::uint64_t>(loads[1].p_offset + at_offset), fake_word(Gpa{2 * kMiB + at_offset}));
  }
  EXPECT_EQ(core_format().bytes(fixture.vm->guest()), loads[1].p_offset + loads[1].p_filesz);
  EXPECT_EQ(bytes_at(loads[1].p_offset + loads[1].p_filesz - 8, 100).size(), 8U);
}

TEST_F(CoreFile, Notes_OneOfEachKindForEachVcpu) {
  const auto notes = headers(PT_NOTE);
  ASSERT_EQ(notes.size(), 1U);
  std::vector<std::string> names;
  std::vector<std::uint32_t> threads;
  for (std::uint64_t here = notes[0].p_offset; here < notes[0].p_offset + notes[0].p_filesz;) {
    const auto note = at<Elf64_Nhdr>(here);
    names.push_back(bytes_at(here + sizeof note, note.n_namesz - 1));
    const std::uint64_t content = here + sizeof note + (note.n_namesz + 3) / 4 * 4;
    if (note.n_type == NT_PRSTATUS) {
      threads.push_back(at<std::uint32_t>(content + 32));
    }
    here = content + (note.n_descsz + 3) / 4 * 4;
  }
  EXPECT_EQ(names, (std::vector<std::string>{"CORE", "CORE", "CORE", "QEMU", "QEMU", "QEMU"}));
  EXPECT_EQ(threads, (std::vector<std::uint32_t>{1, 2, 3}));
}

/// A listing asks for attributes and a copy opens: neither may wait for the VM.
TEST_F(CoreFile, Registers_AreReadOnceAndOnlyWithTheHeaders) {
  static_cast<void>(core_format().bytes(fixture.vm->guest()));
  static_cast<void>(bytes_at(core_format().bytes(fixture.vm->guest()) - 8, 8));
  EXPECT_EQ(register_reads(), 0U);
  const std::string before = bytes_at(0, 0x1000);
  ASSERT_TRUE(fixture.vm->write_gate().set_writable(true));
  const RegisterValue value{x86_64::Register::rax, 0x4711};
  ASSERT_TRUE(fixture.vm->guest().write_registers(VcpuId{0}, {&value, 1}));
  EXPECT_EQ(bytes_at(0, 0x1000), before) << "a file that is open does not change";
  EXPECT_EQ(register_reads(), 1U);
  ImageFile later{guest_of(fixture.vm), core_format()};
  EXPECT_NE(read_file(later, 0, 0x1000)->bytes(), before);
}

TEST_F(CoreFile, RegistersCannotBeRead_NoNotesAndTheSameSize) {
  fixture.fault->fail_nth(FaultPoint::read_registers, 1, ErrorKind::busy);
  EXPECT_TRUE(headers(PT_NOTE).empty());
  const auto loads = headers(PT_LOAD);
  ASSERT_EQ(loads.size(), 2U);
  EXPECT_EQ(at<std::uint64_t>(loads[0].p_offset), fake_word(Gpa{0}));
  EXPECT_EQ(core_format().bytes(fixture.vm->guest()), loads[1].p_offset + loads[1].p_filesz);
}

TEST_F(CoreFile, VmGone_HeadersToo) {
  fixture.fake->die();
  EXPECT_EQ(read_file(file)->error(), ErrorKind::vm_gone);
}

} // namespace
} // namespace vmemfs::test
