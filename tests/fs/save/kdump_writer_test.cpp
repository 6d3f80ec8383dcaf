// SPDX-License-Identifier: MIT
#include "fs/save/packed/kdump_writer.h"
#include "kdump_file.h"
#include "packed_fixture.h"

#include <elf.h>
#include <fmt/format.h>
#include <gmock/gmock.h>

namespace vmemfs::test {
namespace {

using testing::HasSubstr;

constexpr std::size_t kTime = 408; ///< of the header, 16 bytes

class KdumpWriters : public PackedImages {
protected:
  static std::string note(const std::string& name, std::uint32_t type, const std::string& content) {
    const std::array<std::uint32_t, 3> header{static_cast<std::uint32_t>(name.size() + 1),
                                              static_cast<std::uint32_t>(content.size()), type};
    std::string text(sizeof header, '\0');
    std::memcpy(text.data(), header.data(), sizeof header);
    const auto padded = [](std::string part) {
      part.resize((part.size() + 3) / 4 * 4);
      return part;
    };
    return text + padded(name + '\0') + padded(content);
  }

  /// A file as `core`, with holes where there is no data; the last program header is an alias, as those of a
  /// kernel's virtual addresses.
  std::string core() const {
    const std::string path = dir_ / "core";
    const UniqueFd file{::open(path.c_str(), O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600)};
    Elf64_Ehdr header{};
    std::memcpy(header.e_ident, "\x7f\x45LF\2\1\1", 7);
    header.e_type = ET_CORE;
    header.e_machine = EM_X86_64;
    header.e_phoff = sizeof header;
    header.e_phentsize = sizeof(Elf64_Phdr);
    header.e_phnum = static_cast<Elf64_Half>(ranges_.size() + 2);
    put(file.get(), 0, {reinterpret_cast<const char*>(&header), sizeof header});
    std::uint64_t place = sizeof header;
    const auto put_segment = [&](const Elf64_Phdr& segment) {
      put(file.get(), place, {reinterpret_cast<const char*>(&segment), sizeof segment});
      place += sizeof segment;
    };
    put_segment({PT_NOTE, 0, 0x1000, 0, 0, notes_.size(), notes_.size(), 0});
    put(file.get(), 0x1000, notes_);
    std::uint64_t at = 0x4000;
    for (const TestRange& range : ranges_) {
      put_segment({PT_LOAD, 7, at, range.begin, range.begin, range.memory.size(), range.memory.size(), 0});
      for (std::size_t begin = 0; begin < range.memory.size(); begin += kPage) {
        const std::string page = range.memory.substr(begin, kPage);
        if (page.find_first_not_of('\0') != std::string::npos) {
          put(file.get(), at + begin, page);
        }
      }
      at += range.memory.size();
    }
    put_segment({PT_LOAD, 7, 0x4000, 0xffff888000000000, ranges_[0].begin, kPage, 2 * kPage, 0});
    EXPECT_EQ(::ftruncate(file.get(), static_cast<off_t>(at)), 0);
    return path;
  }

  static void put(int fd, std::uint64_t at, const std::string& bytes) {
    EXPECT_EQ(::pwrite(fd, bytes.data(), bytes.size(), static_cast<off_t>(at)),
              static_cast<ssize_t>(bytes.size()));
  }

  void expect_memory(TestKdumpFile& file) const {
    std::uint64_t stored = 0;
    std::uint64_t next = 0;
    for (const TestRange& range : ranges_) {
      for (; next < range.begin / kPage; ++next) {
        ASSERT_FALSE(file.stored(next, 1) || file.stored(next, 2)) << next;
      }
      for (std::size_t at = 0; at < range.memory.size(); at += kPage, ++next) {
        ASSERT_TRUE(file.stored(next, 1) && file.stored(next, 2)) << next;
        ASSERT_TRUE(file.page(stored++) == range.memory.substr(at, kPage)) << next;
      }
    }
    for (; next < file.bitmap_bytes() * 8; ++next) {
      ASSERT_FALSE(file.stored(next, 1) || file.stored(next, 2)) << next;
    }
  }

  [[nodiscard]] std::size_t pages_of_data() const {
    std::size_t pages = 0;
    for (const TestRange& range : ranges_) {
      for (std::size_t at = 0; at < range.memory.size(); at += kPage) {
        pages += range.memory.substr(at, kPage).find_first_not_of('\0') != std::string::npos ? 1 : 0;
      }
    }
    return pages;
  }

  static constexpr const char* kVmcoreinfo =
      "OSRELEASE=6.1.0-test\nPAGESIZE=4096\nNUMBER(phys_base)=-16777216\n";
  std::string notes_ = note("CORE", NT_PRSTATUS, std::string(336, 'r')) + note("QEMU", 0, "12345") +
                       note("CORE", NT_PRSTATUS, std::string(336, 's')) + note("VMCOREINFO", 0, kVmcoreinfo);
};

TEST_F(KdumpWriters, ToAFile_AnyNumberOfThreads_HasTheMemory) {
  const std::string from = core();
  for (const unsigned threads : {1U, 2U, 5U}) {
    const std::string path = dir_ / fmt::format("copy{}", threads);
    ends_ = 0;
    const auto written = save_to(SaveFormat::kdump, from, path, threads);
    ASSERT_TRUE(written) << written.error().text;
    EXPECT_EQ(written->sha256, sha256sum(path));
    const std::string bytes = read_file(path);
    EXPECT_EQ(written->bytes, bytes.size());
    EXPECT_EQ(ends_, 1);
    TestKdumpFile file{bytes};
    expect_memory(file);
    EXPECT_EQ(file.offsets().size(), pages_of_data() + 1) << "all pages of zeros share one";
    EXPECT_EQ(file.flags(), (std::set<std::uint32_t>{0, 1})) << "random bytes are plain";
  }
}

TEST_F(KdumpWriters, Headers_AreThoseOfTheGuest) {
  const std::time_t before = std::time(nullptr);
  const auto written = save_to(SaveFormat::kdump, core(), dir_ / "copy");
  ASSERT_TRUE(written) << written.error().text;
  const TestKdumpFile file{read_file(dir_ / "copy")};
  const std::uint64_t frames = (std::uint64_t{4} << 30U) / kPage + 2 * kMiB / kPage;
  EXPECT_EQ(file.bytes(0, 8), "KDUMP   ");
  EXPECT_EQ(file.word(8), 6U) << "version";
  EXPECT_EQ(file.text(12), "Linux");
  EXPECT_EQ(file.text(12 + 2 * 65), "6.1.0-test");
  EXPECT_EQ(file.text(12 + 3 * 65), "unknown") << "libkdumpfile wants one";
  EXPECT_EQ(file.text(12 + 4 * 65), "x86_64");
  EXPECT_GE(file.quad(kTime), static_cast<std::uint64_t>(before));
  EXPECT_LT(file.quad(kTime + 8), 1000000U);
  EXPECT_EQ(file.word(424), 1U) << "zlib";
  EXPECT_EQ(file.word(428), 4096U);
  EXPECT_EQ(file.word(440), frames);
  EXPECT_EQ(file.word(460), 2U) << "vCPUs";
  EXPECT_EQ(file.sub(0), static_cast<std::uint64_t>(-16777216)) << "phys_base";
  EXPECT_EQ(file.sub(96), frames);
  EXPECT_EQ(file.bytes(file.sub(32), file.sub(40)), kVmcoreinfo);
  EXPECT_EQ(file.bytes(file.sub(48), file.sub(56)), notes_);
}

TEST_F(KdumpWriters, NoNotes_NoneIsClaimed) {
  notes_.clear();
  ASSERT_TRUE(save_to(SaveFormat::kdump, core(), dir_ / "copy"));
  TestKdumpFile file{read_file(dir_ / "copy")};
  EXPECT_EQ(file.text(12), "");
  EXPECT_EQ(file.word(460), 0U);
  for (const std::uint64_t field : {0U, 32U, 40U, 48U, 56U}) {
    EXPECT_EQ(file.sub(field), 0U) << field;
  }
  expect_memory(file);
}

/// Notes come from the guest: lengths that lie beyond their end are not followed.
TEST_F(KdumpWriters, HostileNotes_AreKeptAsTheyAre) {
  for (const std::uint32_t length : {0xffffffffU, 0x7ffffffdU, 400U}) {
    notes_ = note("CORE", NT_PRSTATUS, std::string(336, 'r'));
    for (const std::size_t field : {0U, 4U}) {
      std::string bad = notes_ + note("VMCOREINFO", 0, kVmcoreinfo);
      std::memcpy(bad.data() + notes_.size() + field, &length, sizeof length);
      std::swap(bad, notes_);
      const std::string path = dir_ / fmt::format("copy{}-{}", length, field);
      ASSERT_TRUE(save_to(SaveFormat::kdump, core(), path));
      const TestKdumpFile file{read_file(path)};
      EXPECT_EQ(file.word(460), 1U);
      EXPECT_EQ(file.sub(40), 0U);
      EXPECT_EQ(file.bytes(file.sub(48), file.sub(56)), notes_);
      std::swap(bad, notes_);
    }
  }
}

TEST_F(KdumpWriters, ToAPipe_IsTheSameFlattened) {
  const std::string from = core();
  ASSERT_TRUE(save_to(SaveFormat::kdump, from, dir_ / "copy"));
  std::string piped = unflattened(save_to_pipe(SaveFormat::kdump, from));
  std::string bytes = read_file(dir_ / "copy");
  piped.replace(kTime, 16, 16, '\0');
  bytes.replace(kTime, 16, 16, '\0');
  EXPECT_TRUE(piped == bytes);
}

TEST_F(KdumpWriters, AllZeros_IsOnePage) {
  ranges_ = {{0x100000, std::string(3 * kMiB + kPage, '\0')}};
  ASSERT_TRUE(save_to(SaveFormat::kdump, core(), dir_ / "copy"));
  TestKdumpFile file{read_file(dir_ / "copy")};
  expect_memory(file);
  EXPECT_EQ(file.offsets().size(), 1U);
  EXPECT_EQ(progress_.data, 0U);
}

TEST_F(KdumpWriters, MemoryThatIsNotWholePages_IsRefused) {
  ranges_[1].memory.resize(kMiB + 5);
  const auto written = save_to(SaveFormat::kdump, core(), dir_ / "copy");
  ASSERT_FALSE(written);
  EXPECT_THAT(written.error().text,
              HasSubstr("cannot save as kdump: the memory at 0x100000 does not end at whole pages"));
}

TEST_F(KdumpWriters, SourceIsDamaged_Fails) {
  const std::string from = core();
  std::string bytes = read_file(from);
  write_file(from, bytes.substr(0, bytes.size() - 1));
  const auto cut = save_to(SaveFormat::kdump, from, dir_ / "cut");
  ASSERT_FALSE(cut);
  EXPECT_THAT(cut.error().text, HasSubstr("cannot read the headers of the VM's elf image: it is cut off"));
  write_file(from, bytes.substr(0, 100));
  const auto headless = save_to(SaveFormat::kdump, from, dir_ / "headless");
  ASSERT_FALSE(headless);
  EXPECT_THAT(headless.error().text, HasSubstr("cut off within its program headers"));
}

TEST_F(KdumpWriters, WriteFails_EndsWithItsError) {
  const std::string from = core();
  const UniqueFd full{::open("/dev/full", O_WRONLY | O_CLOEXEC)};
  for (const bool is_file : {false, true}) {
    const auto written = save(SaveFormat::kdump, from, {full.get(), "full", is_file}, 2);
    ASSERT_FALSE(written);
    EXPECT_THAT(written.error().text, HasSubstr("cannot write 'full': No space left on device"));
  }
}

TEST_F(KdumpWriters, Stopped_Ends) {
  stop_.request_stop();
  const auto written = save_to(SaveFormat::kdump, core(), dir_ / "copy");
  ASSERT_FALSE(written);
  EXPECT_EQ(written.error().kind, ErrorKind::interrupted);
  EXPECT_EQ(ends_, 0);
}

TEST(KdumpLayouts, MoreFramesThanTheOldField_AreInTheNewOne) {
  const KdumpLayout layout{
      {.ranges = {{Gpa{0}, Gpa{kPageSize}},
                  {Gpa{std::uint64_t{1} << 50U}, Gpa{(std::uint64_t{1} << 50U) + kPageSize}}},
       .machine = EM_AARCH64}};
  const auto bytes = layout.headers();
  const TestKdumpFile file{{reinterpret_cast<const char*>(bytes.data()), bytes.size()}};
  constexpr std::uint64_t kFrames = (std::uint64_t{1} << 38U) + 1;
  EXPECT_EQ(file.word(440), 0xffffffffU);
  EXPECT_EQ(file.sub(96), kFrames);
  EXPECT_EQ(file.text(12 + 4 * 65), "aarch64");
  EXPECT_EQ(layout.pages(), 2U);
  EXPECT_GE(layout.bitmap_bytes() * 8, kFrames);
  std::array<std::byte, 2> part{};
  layout.fill_bitmap(kFrames / 8 - 1, part);
  EXPECT_EQ(part, (std::array{std::byte{0}, std::byte{1}}));
}

} // namespace
} // namespace vmemfs::test
