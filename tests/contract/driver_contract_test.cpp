// SPDX-License-Identifier: MIT
#include "arch/x86_64/registers.h"
#include "contract/driver_contract.h"
#include "driver/block_memory.h"
#include "support/event_counts.h"
#include "support/files.h"

#include <algorithm>
#include <atomic>
#include <gtest/gtest.h>
#include <iterator>
#include <thread>
#include <unistd.h>

namespace vmemfs::test {
namespace {

/// The index after the last one.
VcpuId after(const VcpuSet& vcpus) { return VcpuId{(vcpus.end() - 1)->value() + 1}; }

class DriverContract : public testing::TestWithParam<SubjectKind> {
protected:
  std::unique_ptr<Subject> subject_ = GetParam().make();

  Driver& driver() { return subject_->driver(); }

  ReadPiece read(Gpa gpa, std::vector<std::byte>& buffer) {
    ReadPiece piece{gpa, buffer, 0, std::nullopt};
    driver().read({&piece, 1});
    return piece;
  }

  const Region& first_ram() {
    map_ = driver().memory_map();
    for (const Region& region : map_->regions()) {
      if (region.kind == RegionKind::ram) {
        return region;
      }
    }
    throw std::runtime_error{"no RAM"};
  }

  std::shared_ptr<const MemoryMap> map_;
};

TEST_P(DriverContract, SaysWhoItIs) {
  EXPECT_FALSE(driver().identity().driver.empty());
  const AccessReport access = driver().access();
  EXPECT_FALSE(access.map.empty());
  EXPECT_FALSE(access.ram.empty());
  EXPECT_FALSE(access.registers.empty());
  EXPECT_FALSE(access.run_control.empty());
}

TEST_P(DriverContract, HasAMapWithMainMemory) {
  const auto map = driver().memory_map();
  ASSERT_NE(map, nullptr);
  EXPECT_GT(map->ram_bytes(), 0U);
  EXPECT_GE(map->ram_end().value(), map->ram_bytes());
}

TEST_P(DriverContract, EveryRegionHasTheBytesThatAreThere) {
  const auto map = driver().memory_map();
  for (const Region& region : map->regions()) {
    const std::size_t size = std::min<std::uint64_t>(region.range.size(), 256 << 10);
    for (const Gpa begin : {region.range.begin, Gpa{region.range.end.value() - size}}) {
      std::vector<std::byte> buffer(size);
      const ReadPiece piece = read(begin, buffer);
      ASSERT_FALSE(piece.failure) << std::hex << begin.value() << ": " << to_string(*piece.failure);
      EXPECT_EQ(piece.done, size);
      EXPECT_EQ(buffer, subject_->truth(begin, size)) << std::hex << begin.value();
    }
  }
}

TEST_P(DriverContract, OddOffsetsAndSizes) {
  const Region& ram = first_ram();
  for (const std::uint64_t offset : {1U, 7U, 4095U, 4097U}) {
    for (const std::size_t size : {std::size_t{1}, std::size_t{8}, std::size_t{4096}, std::size_t{8191}}) {
      std::vector<std::byte> buffer(size);
      EXPECT_EQ(read(ram.range.begin + offset, buffer).done, size);
      EXPECT_EQ(buffer, subject_->truth(ram.range.begin + offset, size)) << offset << " " << size;
    }
  }
}

TEST_P(DriverContract, ABatchHasAResultForEachPiece) {
  const Region& ram = first_ram();
  const Gpa hole{kGpaLimit - kPageSize};
  std::vector<std::vector<std::byte>> buffers(300, std::vector<std::byte>(16));
  std::vector<ReadPiece> pieces;
  for (std::size_t i = 0; i < buffers.size(); ++i) {
    const bool bad = i % 3 == 1;
    pieces.push_back({bad ? hole : ram.range.begin + i * 64, buffers[i], 0, std::nullopt});
  }
  driver().read(pieces);
  for (std::size_t i = 0; i < pieces.size(); ++i) {
    if (i % 3 == 1) {
      EXPECT_EQ(pieces[i].failure, ErrorKind::hole) << i;
      EXPECT_EQ(pieces[i].done, 0U) << i;
    } else {
      EXPECT_FALSE(pieces[i].failure) << i;
      EXPECT_EQ(buffers[i], subject_->truth(ram.range.begin + i * 64, 16)) << i;
    }
  }
}

TEST_P(DriverContract, APieceThatRunsIntoAHoleEndsThere) {
  const auto map = driver().memory_map();
  for (const Region& region : map->regions()) {
    if (map->at(region.range.end).region != nullptr) {
      continue;
    }
    std::vector<std::byte> buffer(64);
    const Gpa begin{region.range.end.value() - 24};
    const ReadPiece piece = read(begin, buffer);
    EXPECT_EQ(piece.done, 24U) << std::hex << begin.value();
    EXPECT_EQ(piece.failure, ErrorKind::hole);
  }
}

/// Counted and not timed, so that a busy host changes nothing.
TEST_P(DriverContract, SequentialReads_TakeAsFewRoundTripsAsTheSubjectSays) {
  if (!subject_->round_trips()) {
    return;
  }
  constexpr std::size_t kMebibyte = std::size_t{1} << 20U;
  const auto map = driver().memory_map();
  const auto ram = std::ranges::max_element(map->regions(), {}, [](const Region& region) {
    return region.kind == RegionKind::ram ? region.range.size() : 0;
  });
  constexpr unsigned kReads = 4;
  ASSERT_GE(ram->range.size(), kReads * kMebibyte);
  const auto trips = [&](std::size_t size) {
    std::vector<std::byte> buffer(size);
    const auto before = *subject_->round_trips();
    for (unsigned i = 0; i < kReads; ++i) {
      EXPECT_EQ(read(ram->range.begin + i * size, buffer).done, size);
    }
    return *subject_->round_trips() - before;
  };
  EXPECT_LE(trips(kMebibyte), kReads * subject_->max_trips_per_mebibyte());
  EXPECT_LE(trips(kPageSize), kReads);
}

TEST_P(DriverContract, SparseMemoryIsZeros) {
  const Region& ram = first_ram();
  GpaRange rest{ram.range.begin, std::min(ram.range.end, ram.range.begin + (std::uint64_t{32} << 20U))};
  while (!rest.empty()) {
    const Gpa before = rest.begin;
    const UseSearch held = driver().find(rest, MemoryUse::held);
    if (held.before > 0) {
      const auto bytes = subject_->truth(rest.begin, held.before);
      EXPECT_TRUE(std::ranges::all_of(bytes, [](std::byte byte) { return byte == std::byte{0}; }))
          << std::hex << rest.begin.value();
      rest.begin = rest.begin + held.before;
    }
    if (!rest.empty()) {
      rest.begin = rest.begin + driver().find(rest, MemoryUse::sparse).before;
    }
    ASSERT_LT(before, rest.begin) << "no progress";
  }
  EXPECT_GT(driver().held_bytes().value_or(1), 0U);
}

TEST_P(DriverContract, BorrowedMemoryIsInsideOneRegion) {
  DirectMemory* const direct = driver().direct_memory();
  if (direct == nullptr) {
    return; // a capability that is not there has nothing to hold
  }
  MemoryPin pin;
  EXPECT_TRUE(direct->borrow(Gpa{kGpaLimit - 2 * kPageSize}, 2 * kPageSize, pin).empty());
  const Region& ram = first_ram();
  EXPECT_TRUE(direct->borrow(Gpa{ram.range.end.value() - 8}, std::size_t{1} << 30U, pin).empty());
  const auto bytes = direct->borrow(ram.range.begin, 2 * kPageSize, pin);
  EXPECT_TRUE(bytes.empty() || bytes.size() == 2 * kPageSize);
}

TEST_P(DriverContract, BlocksHaveTheGuestsBytesAtTheirOffsets) {
  BlockMemory* const blocks = driver().block_memory();
  if (blocks == nullptr) {
    return;
  }
  const auto map = driver().memory_map();
  for (const Region& region : map->regions()) {
    if (region.kind != RegionKind::ram) {
      continue;
    }
    const auto truth = subject_->truth(region.range.begin, kPageSize);
    std::vector<std::byte> bytes(kPageSize);
    EXPECT_EQ(blocks->read(region, region.block_offset, bytes), kPageSize);
    EXPECT_EQ(bytes, truth) << std::hex << region.range.begin.value();
    EXPECT_GE(blocks->size(region).value_or(kGpaLimit), region.block_offset + region.range.size());
    if (const auto file = blocks->open_file(region)) {
      EXPECT_EQ(::pread(file->get(), bytes.data(), kPageSize, static_cast<off_t>(region.block_offset)),
                static_cast<ssize_t>(kPageSize));
      EXPECT_EQ(bytes, truth) << "of its file";
    }
    Region unknown = region;
    unknown.block_offset += kPageSize;
    const auto lost = blocks->read(unknown, 0, bytes);
    ASSERT_FALSE(lost);
    EXPECT_EQ(lost.error(), ErrorKind::hole);
    EXPECT_FALSE(blocks->open_file(unknown));
  }
}

TEST_P(DriverContract, RefreshKeepsTheMapOfAGuestThatStands) {
  const MemoryMap before = *driver().memory_map();
  ASSERT_TRUE(driver().refresh().has_value());
  EXPECT_EQ(*driver().memory_map(), before);
}

TEST_P(DriverContract, RegistersOfEveryVcpuAndOfNoOther) {
  RegisterReader* const reader = driver().register_reader();
  if (reader == nullptr) {
    return;
  }
  const VcpuSet present = driver().vcpus();
  ASSERT_FALSE(present.empty());
  for (const VcpuId vcpu : present) {
    const auto registers = reader->read_vcpu(vcpu);
    ASSERT_TRUE(registers.has_value()) << registers.error().message();
    EXPECT_TRUE(registers->get(x86_64::Register::rip).has_value());
    EXPECT_TRUE(registers->get(x86_64::Register::cr3).has_value());
  }
  const auto missing = reader->read_vcpu(after(present));
  ASSERT_FALSE(missing.has_value());
  EXPECT_EQ(missing.error().kind, ErrorKind::not_found);
}

TEST_P(DriverContract, RegistersOfSeveralVcpus_WhilePaused_EqualThoseOfEach) {
  RegisterReader* const reader = driver().register_reader();
  if (reader == nullptr) {
    return;
  }
  const VcpuSet present = driver().vcpus();
  std::vector<VcpuId> vcpus{present.begin(), present.end()};
  std::ranges::reverse(vcpus); // sets are in the order that was asked for
  vcpus.push_back(vcpus.front());
  const auto sets = reader->read_registers(vcpus);
  ASSERT_TRUE(sets.has_value()) << sets.error().message();
  ASSERT_EQ(sets->size(), vcpus.size());
  for (std::size_t i = 0; i < vcpus.size(); ++i) {
    EXPECT_EQ(&(*sets)[i].layout(), &reader->register_layout());
    const auto alone = reader->read_vcpu(vcpus[i]);
    ASSERT_TRUE(alone.has_value()) << alone.error().message();
    EXPECT_EQ(to_text((*sets)[i]), to_text(*alone)) << "vCPU " << vcpus[i].value();
  }
  vcpus.push_back(after(present));
  const auto one_missing = reader->read_registers(vcpus);
  ASSERT_FALSE(one_missing.has_value());
  EXPECT_EQ(one_missing.error().kind, ErrorKind::not_found);
  EXPECT_TRUE(reader->read_registers({}).value().empty());
}

TEST_P(DriverContract, AWrittenRegisterReadsBackAndIsTheOnlyOneChanged) {
  RegisterWriter* const writer = driver().register_writer();
  if (writer == nullptr) {
    return;
  }
  RegisterReader* const reader = driver().register_reader();
  ASSERT_NE(reader, nullptr);
  auto expected = reader->read_vcpu(VcpuId{0});
  ASSERT_TRUE(expected.has_value());
  const RegisterValue value{x86_64::Register::rbx, 0x1234'5678'9abc'def0};
  const auto written = writer->write_registers(VcpuId{0}, {&value, 1});
  ASSERT_TRUE(written.has_value()) << written.error().message();
  expected->set(value.reg, value.value);
  EXPECT_EQ(to_text(*reader->read_vcpu(VcpuId{0})), to_text(*expected));
}

TEST_P(DriverContract, WhatIsWrittenReadsBackAndIsAllThatChanged) {
  MemoryWriter* const writer = driver().memory_writer();
  if (writer == nullptr) {
    return;
  }
  const Gpa area = first_ram().range.begin + 0x10000;
  auto expected = subject_->truth(area, 32 << 10);
  for (const std::size_t size : {std::size_t{1}, std::size_t{8}, std::size_t{4096}, std::size_t{9000}}) {
    const std::vector<std::byte> bytes(size, static_cast<std::byte>(size % 251 + 1));
    const auto outcome = writer->write(area + 4093, bytes);
    if (outcome.failure && outcome.failure->kind == ErrorKind::unsupported) {
      EXPECT_EQ(outcome.done, 0U);
      return;
    }
    ASSERT_FALSE(outcome.failure) << outcome.failure->message();
    EXPECT_EQ(outcome.done, size);
    std::ranges::copy(bytes, expected.begin() + 4093);
    std::vector<std::byte> buffer(expected.size());
    EXPECT_FALSE(read(area, buffer).failure);
    EXPECT_EQ(buffer, expected) << size;
  }
}

TEST_P(DriverContract, NothingIsWrittenWhereNothingCanBe) {
  MemoryWriter* const writer = driver().memory_writer();
  if (writer == nullptr) {
    return;
  }
  EXPECT_FALSE(driver().access().writes.empty());
  const std::vector<std::byte> bytes(64, std::byte{0x5a});
  const auto expect_refused = [&](Gpa gpa, ErrorKind kind) {
    const auto outcome = writer->write(gpa, bytes);
    EXPECT_EQ(outcome.done, 0U);
    ASSERT_TRUE(outcome.failure) << std::hex << gpa.value();
    EXPECT_TRUE(outcome.failure->kind == kind || outcome.failure->kind == ErrorKind::unsupported)
        << outcome.failure->message();
    EXPECT_FALSE(outcome.failure->text.empty());
  };
  expect_refused(Gpa{kGpaLimit - kPageSize}, ErrorKind::hole);
  const auto map = driver().memory_map();
  for (const Region& region : map->regions()) {
    if (region.writable) {
      continue;
    }
    const auto before = subject_->truth(region.range.begin, bytes.size());
    expect_refused(region.range.begin, ErrorKind::read_only);
    std::vector<std::byte> buffer(bytes.size());
    EXPECT_FALSE(read(region.range.begin, buffer).failure);
    EXPECT_EQ(buffer, before);
  }
}

TEST_P(DriverContract, PauseAndResumeAreIdempotent) {
  RunControl* const control = driver().run_control();
  if (control == nullptr) {
    return;
  }
  for (const bool running : {false, false, true, true, false}) {
    const auto done = running ? control->resume() : control->pause();
    ASSERT_TRUE(done.has_value()) << done.error().message();
    EXPECT_EQ(done->running, running);
    const auto status = control->run_status();
    ASSERT_TRUE(status.has_value());
    EXPECT_EQ(status->running, running);
    EXPECT_FALSE(status->detail.empty());
  }
}

TEST_P(DriverContract, ManyReadersAtOnceGetTheRightBytes) {
  const Region& ram = first_ram();
  const auto expected = subject_->truth(ram.range.begin, 64 << 10);
  std::atomic<int> wrong{0};
  {
    std::vector<std::jthread> readers;
    for (int i = 0; i < 8; ++i) {
      readers.emplace_back([&] {
        std::vector<std::byte> buffer(expected.size());
        for (int round = 0; round < 50; ++round) {
          wrong += read(ram.range.begin, buffer).done == expected.size() && buffer == expected ? 0 : 1;
        }
      });
    }
  }
  EXPECT_EQ(wrong, 0);
}

TEST_P(DriverContract, PluggedVcpu_IsNoticedByItself_AndReadByItsIndex) {
  EventCounts listener;
  driver().set_listener(&listener);
  if (const auto plugged = subject_->plug_vcpu()) {
    EXPECT_TRUE(eventually(
        [&] { return listener.has(VmEvent::vcpus_changed) && driver().vcpus().contains(*plugged); }));
    const VcpuId gap{plugged->value() - 1};
    EXPECT_FALSE(driver().vcpus().contains(gap));
    RegisterReader* const reader = driver().register_reader();
    if (reader != nullptr) {
      const auto registers = reader->read_vcpu(*plugged);
      ASSERT_TRUE(registers.has_value()) << registers.error().message();
      EXPECT_TRUE(registers->get(x86_64::Register::rip).has_value());
      EXPECT_EQ(reader->read_vcpu(gap).error().kind, ErrorKind::not_found);
    }
  }
  driver().set_listener(nullptr);
}

TEST_P(DriverContract, AfterTheEndNothingReads) {
  const Region ram = first_ram();
  EventCounts listener;
  driver().set_listener(&listener);
  if (!subject_->end_vm()) {
    driver().set_listener(nullptr);
    return;
  }
  EXPECT_TRUE(eventually([&] { return listener.has(VmEvent::gone) && driver().gone(); }));
  std::vector<std::byte> buffer(4096);
  const ReadPiece piece = read(ram.range.begin, buffer);
  EXPECT_EQ(piece.failure, ErrorKind::vm_gone);
  EXPECT_EQ(piece.done, 0U);
  if (driver().direct_memory() != nullptr) {
    MemoryPin pin;
    EXPECT_TRUE(driver().direct_memory()->borrow(ram.range.begin, 2 * kPageSize, pin).empty());
  }
  if (BlockMemory* const blocks = driver().block_memory()) {
    EXPECT_FALSE(blocks->read(ram, ram.block_offset, buffer));
    EXPECT_FALSE(blocks->open_file(ram));
  }
  if (driver().memory_writer() != nullptr) {
    const auto outcome = driver().memory_writer()->write(ram.range.begin, buffer);
    EXPECT_EQ(outcome.done, 0U);
    ASSERT_TRUE(outcome.failure);
    EXPECT_EQ(outcome.failure->kind, ErrorKind::vm_gone);
  }
  EXPECT_NE(driver().memory_map(), nullptr);
  driver().set_listener(nullptr);
}

INSTANTIATE_TEST_SUITE_P(Drivers, DriverContract, testing::ValuesIn(subject_kinds()),
                         [](const auto& subject) { return subject.param.name; });

} // namespace
} // namespace vmemfs::test
