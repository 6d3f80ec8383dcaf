// SPDX-License-Identifier: MIT
#include "driver/block_memory.h"
#include "driver/decorators/forwarding_driver.h"
#include "fs/files/block_file.h"
#include "support/recording_reply.h"
#include "vm_fixture.h"

#include <algorithm>
#include <gtest/gtest.h>
#include <memory>
#include <unistd.h>
#include <utility>

namespace vmemfs::test {
namespace {

constexpr std::uint64_t kMiB = 1U << 20U;
constexpr std::size_t kPage = 4096;
constexpr const char* kName = "fake.ram";

/// 4 MiB, of which the guest does not see the second; a ROM in the first one, which is a block of its own.
FakeOptions guest() {
  FakeOptions options;
  options.size = 4 * kMiB;
  options.holes = {GpaRange{Gpa{kMiB}, Gpa{2 * kMiB}}};
  options.roms = {GpaRange{Gpa{0xf0000}, Gpa{kMiB}}};
  return options;
}

std::string pattern(std::uint64_t begin, std::size_t size) {
  std::string bytes;
  for (std::uint64_t at = begin; at < begin + size; at += sizeof(std::uint64_t)) {
    const std::uint64_t word = fake_word(Gpa{at});
    bytes.append(reinterpret_cast<const char*>(&word), sizeof word);
  }
  return bytes;
}

/// Has hidden parts of blocks, as 'h', and the block goes on for a page behind what the map shows.
class BlockDriver : public ForwardingDriver, BlockMemory {
public:
  using ForwardingDriver::ForwardingDriver;
  using ForwardingDriver::held_bytes;
  using ForwardingDriver::read;

  BlockMemory* block_memory() override { return this; }

private:
  std::optional<std::uint64_t> size(const Region& /*of*/) override { return 4 * kMiB + kPage; }
  std::optional<std::uint64_t> held_bytes(const Region& /*of*/) override { return 3 * kPage; }
  tl::expected<std::size_t, ErrorKind> read(const Region& /*of*/, std::uint64_t /*offset*/,
                                            std::span<std::byte> buffer) override {
    std::ranges::fill(buffer, std::byte{'h'});
    return buffer.size();
  }
  Result<UniqueFd> open_file(const Region& /*of*/) override { return UniqueFd{::dup(STDIN_FILENO)}; }
};

VmFixture::Wrap with_blocks() {
  return [](std::unique_ptr<Driver> inner) { return std::make_unique<BlockDriver>(std::move(inner)); };
}

TEST(BlockFile, Read_VisibleParts_GivesGuestMemory) {
  const VmFixture fixture{guest()};
  BlockFile file{guest_of(fixture.vm), kName};
  EXPECT_EQ(read_file(file, kPage, 2 * kPage)->bytes(), pattern(kPage, 2 * kPage));
  EXPECT_EQ(read_file(file, 4 * kMiB)->bytes(), "");
  BlockFile rom{guest_of(fixture.vm), "fake.rom"};
  EXPECT_EQ(read_file(rom, 0xf0000, kPage)->bytes(), pattern(0xf0000, kPage));
  EXPECT_EQ(read_file(rom, kMiB)->bytes(), "");
}

TEST(BlockFile, Read_HiddenPart_IsAHoleIfTheDriverHasNoBlocks) {
  const VmFixture fixture{guest()};
  BlockFile file{guest_of(fixture.vm), kName};
  EXPECT_EQ(read_file(file, kMiB)->error(), ErrorKind::source_failed);
  EXPECT_EQ(read_file(file, 0xef000, 2 * kPage)->bytes(), pattern(0xef000, kPage));
  EXPECT_EQ(read_file(file, 0xef000, 2 * kPage, true)->error(), ErrorKind::source_failed);
  EXPECT_EQ(answer_to([&](Reply& reply) { file.seek(reply, 0, SEEK_HOLE); })->number(), 0xf0000U);
  EXPECT_EQ(answer_to([&](Reply& reply) { file.seek(reply, kMiB, SEEK_DATA); })->number(), 2 * kMiB);
  EXPECT_EQ(answer_to([&](Reply& reply) { file.seek(reply, 4 * kMiB, SEEK_DATA); })->error(),
            ErrorKind::past_end);
}

TEST(BlockFile, Read_HiddenPart_IsTheBackendsIfTheDriverHasIt) {
  const VmFixture fixture{guest(), {}, {}, with_blocks()};
  BlockFile file{guest_of(fixture.vm), kName};
  EXPECT_EQ(read_file(file, kMiB)->bytes(), std::string(kPage, 'h'));
  EXPECT_EQ(read_file(file, 0xef000, 2 * kPage)->bytes(), pattern(0xef000, kPage) + std::string(kPage, 'h'));
  EXPECT_EQ(read_file(file, 2 * kMiB - kPage, 2 * kPage)->bytes(),
            std::string(kPage, 'h') + pattern(2 * kMiB, kPage));
  EXPECT_EQ(read_file(file, 4 * kMiB, 2 * kPage)->bytes(), std::string(kPage, 'h')) << "to its own end";
  EXPECT_EQ(answer_to([&](Reply& reply) { file.seek(reply, 0, SEEK_HOLE); })->number(), 4 * kMiB + kPage);
  EXPECT_EQ(BlockView(fixture.vm->guest().memory(), kName).held_bytes(), 3 * kPage);
}

TEST(BlockFile, Read_BadPage_IsAnError) {
  FakeOptions options = guest();
  options.bad = {GpaRange{Gpa{0x5000}, Gpa{0x6000}}};
  const VmFixture fixture{options, {}, {}, with_blocks()};
  BlockFile file{guest_of(fixture.vm), kName};
  EXPECT_EQ(read_file(file, 0x5000)->error(), ErrorKind::source_failed);
  EXPECT_EQ(read_file(file, 0x4000, 2 * kPage)->bytes(), pattern(0x4000, kPage));
}

TEST(BlockFile, VmGone_AllReadsAndSeeksFail) {
  for (const bool blocks : {false, true}) {
    const VmFixture fixture{guest(), {}, {}, blocks ? with_blocks() : VmFixture::Wrap{}};
    BlockFile file{guest_of(fixture.vm), kName};
    fixture.fake->die();
    for (const std::uint64_t at : {std::uint64_t{0}, kMiB, 8 * kMiB}) {
      EXPECT_EQ(read_file(file, at)->error(), ErrorKind::vm_gone) << at;
    }
    EXPECT_EQ(answer_to([&](Reply& reply) { file.seek(reply, 0, SEEK_DATA); })->error(), ErrorKind::vm_gone);
  }
}

TEST(BlockFile, Write_OnlyWhereTheGuestHasItWritable_ElseNothing) {
  VmFixture fixture{guest(), {.writable = true}, {}, with_blocks()};
  BlockFile file{guest_of(fixture.vm), kName};
  EXPECT_EQ(file.write("text", kPage), 4U);
  EXPECT_EQ(read_file(file, kPage, 8)->bytes().substr(0, 4), "text");
  EXPECT_EQ(file.write("text", kMiB).error().kind, ErrorKind::hole);
  EXPECT_EQ(file.write(std::string(2 * kPage, 'x'), 0xef000).error().kind, ErrorKind::hole);
  EXPECT_EQ(read_file(file, 0xef000)->bytes(), pattern(0xef000, kPage)) << "nothing was written";
  EXPECT_EQ(BlockFile(guest_of(fixture.vm), "fake.rom").write("text", 0xf0000).error().kind,
            ErrorKind::read_only);
  ASSERT_TRUE(fixture.vm->write_gate().set_writable(false));
  EXPECT_EQ(file.write("text", kPage).error().kind, ErrorKind::read_only);
}

TEST(BlockFile, LayoutChanges_IsFollowed) {
  const VmFixture fixture{guest()};
  BlockFile file{guest_of(fixture.vm), kName};
  EXPECT_EQ(read_file(file, kMiB)->error(), ErrorKind::source_failed);
  fixture.fake->change_layout({});
  EXPECT_EQ(read_file(file, kMiB)->bytes(), pattern(kMiB, kPage));
  fixture.fake->change_layout({GpaRange{Gpa{0}, Gpa{4 * kMiB}}});
  EXPECT_EQ(read_file(file, kMiB)->error(), ErrorKind::source_failed) << "the block is not there any more";
}

} // namespace
} // namespace vmemfs::test
