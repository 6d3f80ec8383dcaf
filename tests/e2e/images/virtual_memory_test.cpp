// SPDX-License-Identifier: MIT
// `virt` of real guests that are paused. The truth is QEMU's own walk of the page tables: memsave, and the
// lists of its human monitor.
#include "linux_guest.h"
#include "support/mount.h"
#include "support/qemu_guest.h"
#include "util/unique_fd.h"

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <fcntl.h>
#include <fmt/format.h>
#include <gtest/gtest.h>
#include <map>
#include <memory>
#include <sstream>
#include <stdexcept>
#include <string>
#include <unistd.h>
#include <vector>

namespace vmemfs::test {
namespace {

constexpr std::uint64_t kRam = std::uint64_t{512} << 20U;

struct Range {
  std::uint64_t begin;
  std::uint64_t end;
};

class VirtualMemory : public testing::Test {
protected:
  /// Boots, and pauses it once it says `ready`.
  void start(const GuestOptions& options, const std::string& ready) {
    guest_ = std::make_unique<QemuGuest>(options);
    mount_ = std::make_unique<Mount>(
        std::vector<std::string>{"--vm", fmt::format("vm=qemu:qmp={}", guest_->driver_socket())});
    if (!ready.empty()) {
      ASSERT_TRUE(guest_->wait_for_serial(ready, kLinuxBoot)) << guest_->serial();
    }
    guest_->pause();
    file_ = UniqueFd{::open((*mount_ / "vm/vcpus/0/virt").c_str(), O_RDONLY | O_CLOEXEC)};
    ASSERT_TRUE(file_);
  }
  void start_linux(const std::string& cpu) {
    const auto built = build_linux_guest();
    if (built.code != 0) {
      GTEST_SKIP() << "no Linux guest: " << built.text;
    }
    start(linux_guest({"-cpu", cpu}), kLinuxIsUp);
  }

  [[nodiscard]] std::uint64_t reg(const std::string& name) const {
    const std::string line = line_with(read_file(*mount_ / "vm/vcpus/0/regs"), name + " ");
    return std::stoull(line.substr(line.find("0x")), nullptr, 16);
  }
  /// Empty: QEMU cannot read all of it.
  [[nodiscard]] std::string by_qemu(std::uint64_t address, std::uint64_t size) {
    const std::string path = guest_->dir() / "memsave";
    try {
      guest_->monitor().execute("memsave",
                                {{"val", static_cast<std::int64_t>(address)}, // QMP has no larger numbers
                                 {"size", size},
                                 {"filename", path},
                                 {"cpu-index", 0}});
    } catch (const std::runtime_error&) {
      return {};
    }
    return read_file(path);
  }
  [[nodiscard]] ReadResult read_at(std::uint64_t address, std::size_t size) const {
    return pread_at(file_.get(), address & ~(1ULL << 63U), size);
  }
  void expect_same(std::uint64_t address, std::size_t size) {
    const auto read = read_at(address, size);
    const std::string truth = by_qemu(address, size);
    ASSERT_EQ(truth.size(), size) << std::hex << address;
    EXPECT_EQ(read.error, 0) << std::hex << address;
    ASSERT_EQ(read.bytes.size(), size) << std::hex << address;
    EXPECT_EQ(std::memcmp(read.bytes.data(), truth.data(), size), 0) << std::hex << address;
  }
  /// What is mapped, by QEMU.
  [[nodiscard]] std::vector<Range> mapped() {
    std::istringstream lines{guest_->monitor().human("info mem")};
    std::vector<Range> ranges;
    for (std::string line; std::getline(lines, line);) {
      if (line.size() > 33 && line[16] == '-') {
        ranges.push_back(
            {std::stoull(line.substr(0, 16), nullptr, 16), std::stoull(line.substr(17, 16), nullptr, 16)});
      }
    }
    return ranges;
  }
  /// Adjacent ranges are one.
  [[nodiscard]] static std::vector<Range> joined(const std::vector<Range>& ranges) {
    std::vector<Range> all;
    for (const Range& range : ranges) {
      if (!all.empty() && all.back().end == range.begin) {
        all.back().end = range.end;
      } else {
        all.push_back(range);
      }
    }
    return all;
  }
  /// Those of `virt_maps`, and a comparison of physical addresses with QEMU's.
  [[nodiscard]] std::vector<Range> listed() {
    // The guest is paused, but a list also ends when half a second is over, as on a busy machine.
    std::string text;
    EXPECT_TRUE(eventually([&] {
      text = read_file(*mount_ / "vm/vcpus/0/virt_maps");
      return text.find("not searched") == std::string::npos;
    })) << text;
    std::istringstream lines{text};
    std::vector<Range> ranges;
    std::size_t number = 0;
    for (std::string line; std::getline(lines, line);) {
      if (line[0] == '#') {
        continue;
      }
      ranges.push_back(
          {std::stoull(line.substr(0, 16), nullptr, 16), std::stoull(line.substr(17, 16), nullptr, 16)});
      const std::string gpa = line.substr(line.rfind(' ', line.find_last_not_of(' ')) + 1);
      if (gpa[0] != '-' && ++number % 16 == 0) {
        EXPECT_EQ(std::stoull(gpa, nullptr, 16), physical(ranges.back().begin)) << line;
      }
    }
    EXPECT_GT(number, 0U);
    return ranges;
  }
  void expect_list_as_qemu() {
    const std::vector<Range> truth = joined(mapped());
    const std::vector<Range> list = joined(listed());
    ASSERT_EQ(list.size(), truth.size());
    for (std::size_t i = 0; i < list.size(); ++i) {
      EXPECT_EQ(list[i].begin, truth[i].begin);
      EXPECT_EQ(list[i].end, truth[i].end) << std::hex << list[i].begin;
    }
  }
  [[nodiscard]] std::uint64_t physical(std::uint64_t address) {
    const std::string text = guest_->monitor().human(fmt::format("gva2gpa {:#x}", address));
    return std::stoull(text.substr(text.find("gpa: ") + 5), nullptr, 16);
  }
  /// The first and the last page of some of QEMU's ranges, and the page after them.
  void expect_ranges_as_qemu() {
    const std::vector<Range> ranges = mapped();
    ASSERT_GT(ranges.size(), 10U);
    const std::size_t step = std::max<std::size_t>(ranges.size() / 100, 1);
    std::size_t compared = 0;
    for (std::size_t i = 0; i < ranges.size(); i += step) {
      for (const std::uint64_t page : {ranges[i].begin, ranges[i].end - 0x1000}) {
        if (physical(page) + 0x1000 <= kRam) {
          expect_same(page, 0x1000);
          ++compared;
        } else { // a device
          EXPECT_EQ(read_at(page, 8).error, EIO) << std::hex << page;
        }
      }
      const std::uint64_t end = ranges[i].end;
      const bool is_hole = end != 0 && (i + 1 == ranges.size() || ranges[i + 1].begin != end);
      if (is_hole && physical(end - 0x1000) + 0x1000 <= kRam) {
        EXPECT_EQ(read_at(end, 8).error, EIO) << std::hex << end;
        EXPECT_EQ(read_at(end - 0x10, 0x1000).bytes.size(), 0x10U) << std::hex << end;
      }
    }
    EXPECT_GT(compared, 20U);
    const auto bytes = [](const Range& range) { return range.end - range.begin; };
    const Range largest = *std::ranges::max_element(ranges, {}, bytes);
    expect_same(largest.begin, std::min<std::uint64_t>(bytes(largest), 1U << 20U));
  }
  /// The pages around an address that is mapped.
  void expect_neighbours_as_qemu(std::uint64_t address) {
    constexpr std::uint64_t kPages = 24;
    const std::uint64_t middle = address & ~0xfffULL;
    expect_same(middle, 0x1000);
    for (std::uint64_t page = middle - kPages * 0x1000; page < middle + kPages * 0x1000; page += 0x1000) {
      if (by_qemu(page, 0x1000).empty()) {
        EXPECT_EQ(read_at(page, 8).error, EIO) << std::hex << page;
      } else if (physical(page) + 0x1000 <= kRam) { // else a device
        expect_same(page, 0x1000);
      }
    }
  }
  void expect_kernel_as_qemu() {
    for (const char* const name : {"rip", "rsp", "idt.base", "gdt.base", "tr.base"}) {
      SCOPED_TRACE(name);
      expect_neighbours_as_qemu(reg(name));
    }
  }

  std::unique_ptr<QemuGuest> guest_;
  std::unique_ptr<Mount> mount_;
  UniqueFd file_;
};

TEST_F(VirtualMemory, LinuxWithFourLevels_AsQemuHasIt) {
  ASSERT_NO_FATAL_FAILURE(start_linux("max,la57=off"));
  if (IsSkipped()) {
    return;
  }
  EXPECT_EQ(reg("cr4") & 0x1000, 0U);
  expect_kernel_as_qemu();
  expect_ranges_as_qemu();
  expect_list_as_qemu();
  EXPECT_EQ(read_at(0x0000800000000000, 8).error, EIO) << "not canonical";

  guest_->resume(); // registers and tables are those of each read then
  const std::uint64_t gdt = reg("gdt.base");
  EXPECT_EQ(read_at(gdt, 0x80).bytes.size(), 0x80U);
  const auto dd = run({"bash", "-c",
                       fmt::format("dd if={} bs=4096 skip={} count=1 status=none | wc -c",
                                   *mount_ / "vm/vcpus/0/virt", (gdt & ~(1ULL << 63U)) / 4096)});
  EXPECT_EQ(dd.text, "4096\n");
}

TEST_F(VirtualMemory, LinuxWithFiveLevels_AsQemuHasIt) {
  ASSERT_NO_FATAL_FAILURE(start_linux("max"));
  if (IsSkipped()) {
    return;
  }
  EXPECT_NE(reg("cr4") & 0x1000, 0U) << "QEMU's max has LA57, and Debian's kernel uses it";
  expect_kernel_as_qemu();
  EXPECT_EQ(read_at(0x0100000000000000, 8).error, EIO) << "not canonical";
}

/// Page tables that are written into a guest, and registers that use them.
struct Tables {
  const char* name;
  std::uint64_t cr4;
  std::uint64_t efer; ///< long mode becomes active with paging
  std::uint64_t cr3;
  std::map<std::uint64_t, std::uint64_t> words;     ///< 8 bytes each, by physical address
  std::map<std::uint64_t, std::uint64_t> addresses; ///< where they are mapped to
  std::vector<std::uint64_t> not_mapped;
};

std::vector<Tables> tables_of_all_modes() {
  constexpr std::uint64_t kUpper = 0xffff'8000'0000'0000;
  constexpr std::uint64_t kUpper5 = 0xff11'0000'0000'0000;
  return {
      {"32-bit",
       0x10,
       0,
       0x100'0000,
       {{0x100'0000, 0x100'1007ULL << 32U}, {0x100'0008, 0xc0'0087}, {0x100'1010, 0x1e0'0007ULL << 32U}},
       {{0x40'5000, 0x1e0'0000}, {0x80'0000, 0xc0'0000}, {0xbf'f000, 0xff'f000}},
       {0, 0x40'4000, 0xc0'0000}},
      {"32-bit without PSE",
       0,
       0,
       0x100'0000,
       {{0x100'0008, 0x100'1087}, {0x100'1008, 0x1e0'1007}},
       {{0x80'2000, 0x1e0'1000}},
       {0x80'0000}},
      {"PAE",
       0x20,
       0,
       0x100'0020,
       {{0x100'0038, 0x100'1001},
        {0x100'1028, 0x100'2007},
        {0x100'1030, 0xc0'0087},
        {0x100'2048, 0x1e0'3007}},
       {{0xc0a0'9000, 0x1e0'3000}, {0xc0c0'0000, 0xc0'0000}, {0xc0df'f000, 0xdf'f000}},
       {0, 0xc0a0'8000, 0xc0e0'0000}},
      {"4 levels",
       0x20,
       0x900,
       0x100'0000,
       {{0x100'0800, 0x100'1007},
        {0x100'1000, 0x100'2007},
        {0x100'1008, 0x87},
        {0x100'2018, 0xe0'0087},
        {0x100'2020, 0x100'3007},
        {0x100'3038, 0x8000'0000'01e0'7007}},
       {{kUpper + 0x60'0000, 0xe0'0000},
        {kUpper + 0x80'7000, 0x1e0'7000},
        {kUpper + 0x41e0'0000, 0x1e0'0000}},
       {0, kUpper, kUpper + 0x80'6000, kUpper + 0x8000'0000, ~0ULL << 12U}},
      {"5 levels",
       0x1020,
       0x900,
       0x100'0000,
       {{0x100'0888, 0x100'1007},
        {0x100'1008, 0x100'2007},
        {0x100'2010, 0x100'3007},
        {0x100'3018, 0xe0'0087},
        {0x100'3020, 0x100'4007},
        {0x100'4000, 0x1e0'9007}},
       {{kUpper5 + (1ULL << 39U) + 0x8060'0000, 0xe0'0000},
        {kUpper5 + (1ULL << 39U) + 0x8080'0000, 0x1e0'9000}},
       {0, kUpper5, kUpper}},
  };
}

TEST_F(VirtualMemory, TablesOfEachMode_AsQemuWalksThem) {
  GuestOptions options;
  options.kernel = false;
  ASSERT_NO_FATAL_FAILURE(start(options, ""));
  ASSERT_EQ(try_write(*mount_ / "vm/control", "write on\n"), 0);
  const UniqueFd mem{::open((*mount_ / "vm/mem").c_str(), O_WRONLY | O_CLOEXEC)};
  const auto write = [&](std::uint64_t gpa, const void* bytes, std::size_t size) {
    ASSERT_EQ(::pwrite(mem.get(), bytes, size, static_cast<off_t>(gpa)), static_cast<ssize_t>(size));
  };
  const auto set = [&](const char* name, std::uint64_t value) {
    ASSERT_EQ(try_write(*mount_ / "vm/vcpus/0/regs", fmt::format("{} {:#x}\n", name, value)), 0) << name;
  };
  for (const Tables& tables : tables_of_all_modes()) {
    SCOPED_TRACE(tables.name);
    set("cr0", 0x11);
    set("efer", tables.efer);
    set("cr4", tables.cr4);
    set("cr3", tables.cr3);
    write(0x100'0000, std::string(0x5000, '\0').data(), 0x5000);
    for (const auto& [gpa, word] : tables.words) {
      write(gpa, &word, sizeof word);
    }
    for (const auto& [address, gpa] : tables.addresses) {
      write(gpa, &gpa, sizeof gpa);
    }
    set("cr0", 0x8000'0011);
    for (const auto& [address, gpa] : tables.addresses) {
      expect_same(address, 0x1000);
      const auto read = read_at(address, sizeof gpa);
      EXPECT_EQ(std::memcmp(read.bytes.data(), &gpa, read.bytes.size()), 0) << std::hex << address;
    }
    for (const std::uint64_t address : tables.not_mapped) {
      EXPECT_EQ(by_qemu(address, 8), "") << std::hex << address;
      EXPECT_EQ(pread_at(file_.get(), (address & ~(1ULL << 63U)) | 8U, 8).error, EIO) << std::hex << address;
    }
  }
}

TEST_F(VirtualMemory, FirmwareWithoutPaging_Identity) {
  GuestOptions options;
  options.kernel = false;
  options.extra = {"-debugcon", "file:/dev/null"};
  ASSERT_NO_FATAL_FAILURE(start(options, ""));
  EXPECT_EQ(reg("cr0") >> 31U, 0U);
  expect_same(0xf0000, 0x10000);
  expect_same(0, 0x1000);
  EXPECT_EQ(read_at(1ULL << 32U, 8).error, EIO);
}

} // namespace
} // namespace vmemfs::test
