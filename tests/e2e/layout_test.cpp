// SPDX-License-Identifier: MIT
// Every kind of guest and every way to its memory: the files are compared with QEMU's monitor.
#include "e2e/guest_layout.h"
#include "support/mount.h"
#include "support/qemu_guest.h"
#include "util/unique_fd.h"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <fcntl.h>
#include <filesystem>
#include <fmt/format.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <sys/stat.h>

namespace vmemfs::test {
namespace {

constexpr std::uint64_t kMiB = 1 << 20;
constexpr std::uint64_t kGiB = 1 << 30;
constexpr std::uint64_t kFourGiB = 4 * kGiB;

struct Shape {
  std::string name;
  std::string machine;
  std::string memory; ///< in QEMU's syntax
  std::uint64_t size; ///< the expected st_size
  std::vector<std::string> extra = {};
  std::vector<std::string> backend = {}; ///< id:size of additional memory backends of this machine
};

enum class Backing { private_ram, memfd, shared_file };

struct Case {
  Shape shape;
  Backing backing;
};

/// The expected sizes come from the machine's documented layout (below-4G split), not from the tested code.
std::vector<Shape> shapes() {
  return {
      {"pc_512M", "pc", "512M", 512 * kMiB},
      {"q35_512M_vga", "q35", "512M", 512 * kMiB, {"-vga", "std"}},
      {"pc_3584M_vga", "pc", "3584M", kFourGiB + 512 * kMiB, {"-vga", "std"}},
      {"q35_3584M", "q35", "3584M", kFourGiB + 1536 * kMiB},
      {"pc_5G", "pc", "5G", kFourGiB + 2 * kGiB},
      {"q35_5G_ivshmem",
       "q35",
       "5G",
       kFourGiB + 3 * kGiB,
       {"-object", "memory-backend-ram,id=shm0,size=64M", "-device", "ivshmem-plain,memdev=shm0"}},
      {"microvm_512M", "microvm", "512M", 512 * kMiB},
  };
}

std::vector<Case> cases() {
  std::vector<Case> all;
  for (const Shape& shape : shapes()) {
    for (const Backing backing : {Backing::private_ram, Backing::memfd, Backing::shared_file}) {
      all.push_back({shape, backing});
    }
  }
  return all;
}

std::string to_string(Backing backing) {
  switch (backing) {
  case Backing::private_ram: return "private";
  case Backing::memfd: return "memfd";
  case Backing::shared_file: return "file";
  }
  return "";
}

/// QEMU's arguments for RAM of that kind. `file` is only used for a shared file.
std::vector<std::string> backend_args(Backing backing, const std::string& id, const std::string& size,
                                      const std::string& file) {
  switch (backing) {
  case Backing::private_ram: return {"-object", fmt::format("memory-backend-ram,id={},size={}", id, size)};
  case Backing::memfd:
    return {"-object", fmt::format("memory-backend-memfd,id={},size={},share=on", id, size)};
  case Backing::shared_file:
    return {"-object", fmt::format("memory-backend-file,id={},size={},mem-path={},share=on", id, size, file)};
  }
  return {};
}

/// A RAM file on tmpfs, which is removed even if the test dies.
class RamFile {
public:
  RamFile() : path_{fmt::format("/dev/shm/vmemfs-test-{}-{}", ::getpid(), counter_++)} {}
  ~RamFile() { std::filesystem::remove(path_); }
  RamFile(const RamFile&) = delete;
  RamFile& operator=(const RamFile&) = delete;
  [[nodiscard]] const std::string& path() const { return path_; }

private:
  static inline int counter_ = 0;
  std::string path_;
};

/// A whole file, read-only.
class MappedFile {
public:
  explicit MappedFile(const std::string& path) : size_{std::filesystem::file_size(path)} {
    const UniqueFd file{::open(path.c_str(), O_RDONLY | O_CLOEXEC)};
    data_ = ::mmap(nullptr, size_, PROT_READ, MAP_PRIVATE | MAP_POPULATE, file.get(), 0);
    if (data_ == MAP_FAILED) {
      throw std::runtime_error{"cannot map " + path};
    }
  }
  ~MappedFile() { ::munmap(data_, size_); }
  MappedFile(const MappedFile&) = delete;
  MappedFile& operator=(const MappedFile&) = delete;
  [[nodiscard]] const std::byte* data() const { return static_cast<const std::byte*>(data_); }

private:
  std::size_t size_;
  void* data_;
};

std::uint64_t size_of(const std::string& path) {
  struct stat status {};
  EXPECT_EQ(::stat(path.c_str(), &status), 0) << path;
  return static_cast<std::uint64_t>(status.st_size);
}

/// Compares [begin, end) of an open file with `expected`, or with zeros if that is null.
void expect_bytes(int fd, std::uint64_t begin, std::uint64_t end, const std::byte* expected) {
  static std::vector<std::byte> buffer(kMiB);
  static const std::vector<std::byte> zeros(kMiB);
  for (std::uint64_t at = begin; at < end;) {
    const std::size_t want = std::min(kMiB, end - at);
    const ssize_t count = ::pread(fd, buffer.data(), want, static_cast<off_t>(at));
    ASSERT_GT(count, 0) << std::hex << at << ": " << std::strerror(errno);
    const auto size = static_cast<std::size_t>(count);
    ASSERT_EQ(std::memcmp(buffer.data(), expected != nullptr ? expected + (at - begin) : zeros.data(), size),
              0)
        << "between " << std::hex << at << " and " << at + size;
    at += size;
  }
}

/// In a hole a read of `mem` fails with EIO, at its borders and in the middle, and lseek finds its end, or
/// what is held behind it.
void expect_hole(int mem, int padded, std::uint64_t begin, std::uint64_t end) {
  for (const std::uint64_t at : {begin, begin + (end - begin) / 2, end - 1}) {
    EXPECT_EQ(pread_at(mem, at, 1).error, EIO) << std::hex << at;
  }
  EXPECT_EQ(::lseek(mem, static_cast<off_t>(begin), SEEK_HOLE), static_cast<off_t>(begin));
  EXPECT_GE(::lseek(mem, static_cast<off_t>(begin), SEEK_DATA), static_cast<off_t>(end));
  expect_bytes(padded, begin, end, nullptr);
}

/// RAM and ROM of a paused guest below `size`, as written by QEMU.
class Truth {
public:
  struct Range {
    std::uint64_t begin;
    std::uint64_t end;
    std::unique_ptr<MappedFile> bytes;
  };

  Truth(QemuGuest& guest, std::uint64_t size) : size_{size} {
    for (const TrueRange& range : true_ranges(guest.monitor().human("info mtree -f"))) {
      if (range.begin < size) {
        const std::uint64_t end = std::min(range.end, size);
        const RamFile file;
        guest.pmemsave(range.begin, end - range.begin, file.path());
        ranges_.push_back({range.begin, end, std::make_unique<MappedFile>(file.path())});
      }
    }
  }

  [[nodiscard]] std::uint64_t size() const { return size_; }
  [[nodiscard]] const std::vector<Range>& ranges() const { return ranges_; }

private:
  std::uint64_t size_;
  std::vector<Range> ranges_;
};

/// Compares `mem` with `mem_padded`, which has been compared completely. Of very long ranges only a sixteenth
/// is read.
void expect_agreement(int mem, const Truth::Range& range) {
  const bool is_long = range.end - range.begin > kGiB;
  for (std::uint64_t at = range.begin; at < range.end; at += is_long ? 16 * kMiB : kMiB) {
    expect_bytes(mem, at, std::min(at + kMiB, range.end), range.bytes->data() + (at - range.begin));
  }
}

/// Compares the contents of all files of one VM directory with QEMU's monitor.
void expect_equal_memory(const Truth& truth, const std::string& directory) {
  EXPECT_EQ(size_of(directory + "/mem"), truth.size());
  EXPECT_EQ(size_of(directory + "/mem_padded"), truth.size());
  const UniqueFd mem{::open((directory + "/mem").c_str(), O_RDONLY | O_CLOEXEC)};
  const UniqueFd padded{::open((directory + "/mem_padded").c_str(), O_RDONLY | O_CLOEXEC)};
  ASSERT_TRUE(mem && padded);
  std::uint64_t at = 0;
  std::uint64_t data = 0;
  for (const Truth::Range& range : truth.ranges()) {
    if (at < range.begin) {
      expect_hole(mem.get(), padded.get(), at, range.begin);
    }
    expect_bytes(padded.get(), range.begin, range.end, range.bytes->data());
    expect_agreement(mem.get(), range);
    data += range.end - range.begin;
    at = range.end;
  }
  EXPECT_EQ(at, truth.size()) << "the file ends where main memory ends";
  struct stat status {};
  ASSERT_EQ(::fstat(mem.get(), &status), 0);
  EXPECT_GT(status.st_blocks, 0);
  EXPECT_LE(static_cast<std::uint64_t>(status.st_blocks) * 512, data); // see sparse_test.cpp
  EXPECT_EQ(pread_at(mem.get(), truth.size(), 16).error, 0);
  EXPECT_TRUE(pread_at(mem.get(), truth.size(), 16).bytes.empty());
}

/// `maps` lists exactly the ranges of `info mtree -f` (merged if QEMU has split one).
void expect_equal_maps(QemuGuest& guest, const std::string& directory) {
  std::vector<std::pair<std::uint64_t, std::uint64_t>> expected;
  for (const TrueRange& range : true_ranges(guest.monitor().human("info mtree -f"))) {
    expected.emplace_back(range.begin, range.end);
  }
  std::uint64_t covered = 0;
  std::istringstream lines{read_file(directory + "/maps")};
  for (std::string line; std::getline(lines, line);) {
    const std::uint64_t begin = std::stoull(line.substr(0, 16), nullptr, 16);
    const std::uint64_t end = std::stoull(line.substr(17, 16), nullptr, 16);
    covered += end - begin;
    std::uint64_t at = begin;
    for (const auto& [from, to] : expected) {
      at = from == at ? to : at;
    }
    EXPECT_GE(at, end) << line;
  }
  std::uint64_t all = 0;
  for (const auto& [from, to] : expected) {
    all += to - from;
  }
  EXPECT_EQ(covered, all);
}

/// Three directories of one guest: with its monitor, with a monitor that is in use (by the test), and without
/// any.
std::vector<std::string> three_ways(const QemuGuest& guest, const std::string& taken_socket) {
  return {"--vm", fmt::format("free=qemu:qmp={}", guest.driver_socket()),
          "--vm", fmt::format("taken=qemu:qmp={},timeout=500ms", taken_socket),
          "--vm", fmt::format("none=qemu:pid={},map=flatview", guest.pid())};
}

void check_guest(const GuestOptions& options, std::uint64_t size) {
  QemuGuest guest{options};
  guest.pause();
  Mount mount{three_ways(guest, guest.test_socket())};
  const Truth truth{guest, size};
  for (const char* way : {"free", "taken", "none"}) {
    SCOPED_TRACE(way);
    expect_equal_memory(truth, mount / way);
    expect_equal_maps(guest, mount / way);
  }
  EXPECT_NE(read_file(mount / "taken/info").find("another client is connected"), std::string::npos);
  EXPECT_EQ(mount.unmount(), 0);
}

class Layout : public testing::TestWithParam<Case> {};

TEST_P(Layout, Memory_EqualsQemusView) {
  const auto& [shape, backing] = GetParam();
  const RamFile file;
  GuestOptions options;
  options.machine = shape.machine;
  options.memory = shape.memory;
  options.fill = "100M"; // the rest stays sparse, as in most real guests
  options.extra = shape.extra;
  if (backing != Backing::private_ram) {
    options.machine += ",memory-backend=m0";
    const auto args = backend_args(backing, "m0", shape.memory, file.path());
    options.extra.insert(options.extra.end(), args.begin(), args.end());
  }
  check_guest(options, shape.size);
}

INSTANTIATE_TEST_SUITE_P(Guests, Layout, testing::ValuesIn(cases()), [](const auto& subject) {
  return subject.param.shape.name + "_" + to_string(subject.param.backing);
});

class MoreLayouts : public testing::TestWithParam<Backing> {};

TEST_P(MoreLayouts, TwoNumaNodes) {
  const RamFile files[2];
  GuestOptions options;
  options.memory = "512M";
  options.extra = {"-smp", "2"};
  for (int node = 0; node < 2; ++node) {
    const auto args = backend_args(GetParam(), fmt::format("n{}", node), "256M", files[node].path());
    options.extra.insert(options.extra.end(), args.begin(), args.end());
    options.extra.insert(options.extra.end(),
                         {"-numa", fmt::format("node,nodeid={0},cpus={0},memdev=n{0}", node)});
  }
  check_guest(options, 512 * kMiB);
}

TEST_P(MoreLayouts, HotPluggedDimm_AppearsInOpenHandles) {
  const RamFile file;
  GuestOptions options;
  options.machine = "q35";
  options.memory = "256M,slots=4,maxmem=4G";
  const auto dimm = backend_args(GetParam(), "d0", "128M", file.path());
  QemuGuest guest{options};
  guest.pause();
  Mount mount{three_ways(guest, guest.test_socket())};
  const UniqueFd open_before{::open((mount / "none/mem").c_str(), O_RDONLY | O_CLOEXEC)};
  EXPECT_EQ(size_of(mount / "free/mem"), 256 * kMiB);

  guest.monitor().human("object_add " + dimm[1]);
  ASSERT_EQ(guest.monitor().human("device_add pc-dimm,id=dimm0,memdev=d0"), "");
  const Truth truth{guest, kFourGiB + 128 * kMiB};
  for (const char* way : {"free", "taken", "none"}) {
    SCOPED_TRACE(way);
    expect_equal_memory(truth, mount / way);
  }
  EXPECT_EQ(pread_at(open_before.get(), kFourGiB, 4096).bytes.size(), 4096U);
}

INSTANTIATE_TEST_SUITE_P(Backings, MoreLayouts,
                         testing::Values(Backing::private_ram, Backing::memfd, Backing::shared_file),
                         [](const auto& subject) { return to_string(subject.param); });

TEST(FirmwareLayout, FlashBelowFourGiB) {
  TempDir dir;
  std::filesystem::copy("/usr/share/OVMF/OVMF_VARS_4M.fd", dir / "vars.fd");
  GuestOptions options;
  options.machine = "q35";
  options.memory = "512M";
  options.kernel = false;
  options.extra = {"-drive", "if=pflash,format=raw,unit=0,readonly=on,file=/usr/share/OVMF/OVMF_CODE_4M.fd",
                   "-drive", "if=pflash,format=raw,unit=1,file=" + (dir / "vars.fd")};
  check_guest(options, 512 * kMiB);
}

TEST(MonitorOnlyLayout, Hotplug_IsDetectedByAReadThere) {
  GuestOptions options;
  options.machine = "q35";
  options.memory = "256M,slots=4,maxmem=4G";
  QemuGuest guest{options};
  guest.pause();
  Mount mount{{"--vm", fmt::format("vm=qemu:qmp={},map=monitor", guest.driver_socket())}};
  expect_equal_memory(Truth{guest, 256 * kMiB}, mount / "vm");
  guest.monitor().human("object_add memory-backend-ram,id=d0,size=128M");
  ASSERT_EQ(guest.monitor().human("device_add pc-dimm,id=dimm0,memdev=d0"), "");
  // A read past the end refreshes the map in the background.
  const UniqueFd mem{::open((mount / "vm/mem").c_str(), O_RDONLY | O_CLOEXEC)};
  EXPECT_TRUE(eventually([&] { return !pread_at(mem.get(), kFourGiB, 16).bytes.empty(); }));
  expect_equal_memory(Truth{guest, kFourGiB + 128 * kMiB}, mount / "vm");
}

TEST(GuessedLayout, OnlyOnRequestAndReported) {
  GuestOptions options;
  options.memory = "5G";
  options.fill = "64M";
  QemuGuest guest{options};
  Mount mount{{"--vm", fmt::format("vm=qemu:pid={},map=guess", guest.pid())}};
  EXPECT_EQ(size_of(mount / "vm/mem"), kFourGiB + 2 * kGiB);
  EXPECT_NE(read_file(mount / "vm/info").find("GUESSED"), std::string::npos);
}

} // namespace
} // namespace vmemfs::test
