// SPDX-License-Identifier: MIT
// `virt` of real guests that are paused. The truth is QEMU's own walk of the page tables: memsave, and the
// lists of its human monitor.
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
#include <memory>
#include <sstream>
#include <stdexcept>
#include <string>
#include <vector>

namespace vmemfs::test {
namespace {

constexpr std::chrono::minutes kBoot{3};
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
      ASSERT_TRUE(guest_->wait_for_serial(ready, kBoot)) << guest_->serial();
    }
    guest_->pause();
    file_ = UniqueFd{::open((*mount_ / "vm/vcpus/0/virt").c_str(), O_RDONLY | O_CLOEXEC)};
    ASSERT_TRUE(file_);
  }
  void start_linux(const std::string& cpu) {
    const std::string files = std::string{VMEMFS_SOURCE_DIR} + "/build/guests/linux";
    const auto built = run({std::string{VMEMFS_SOURCE_DIR} + "/tests/guests/linux/build", files});
    if (built.code != 0) {
      GTEST_SKIP() << "no Linux guest: " << built.text;
    }
    GuestOptions options;
    options.memory = "512M";
    options.kernel = false;
    options.extra = {"-cpu",    cpu,
                     "-kernel", files + "/vmlinuz",
                     "-initrd", files + "/initrd.gz",
                     "-append", "console=ttyS0 quiet"};
    start(options, "secret:");
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
    std::istringstream lines{read_file(*mount_ / "vm/vcpus/0/virt_maps")};
    std::vector<Range> ranges;
    std::size_t number = 0;
    for (std::string line; std::getline(lines, line);) {
      EXPECT_EQ(line.find("not searched"), std::string::npos) << line;
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
      } else {
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
