// SPDX-License-Identifier: MIT
// Memory that a guest has not touched is a hole of its files: copies of large guests are small and complete.
#include "support/mount.h"
#include "support/qemu_guest.h"
#include "util/unique_fd.h"

#include <algorithm>
#include <cstring>
#include <fcntl.h>
#include <filesystem>
#include <fmt/format.h>
#include <gtest/gtest.h>
#include <memory>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>
#include <vector>

namespace vmemfs::test {
namespace {

constexpr std::uint64_t kMiB = 1 << 20;
constexpr std::uint64_t kGiB = 1 << 30;
/// Of a pc with 4 GiB: 3 GiB below 4 GiB.
constexpr std::uint64_t kSize = 5 * kGiB;
/// The guest writes from 16 MiB up to here once it runs (tests/guests/tiny/layout.h).
constexpr std::uint64_t kFillBegin = 16 * kMiB;
constexpr std::uint64_t kFillEnd = 80 * kMiB;

struct Extent {
  std::uint64_t begin;
  std::uint64_t end;

  friend bool operator==(const Extent&, const Extent&) = default;
};

/// The data of a file, as lseek() reports it.
std::vector<Extent> data_of(int fd) {
  std::vector<Extent> data;
  for (off_t at = 0; (at = ::lseek(fd, at, SEEK_DATA)) >= 0;) {
    const off_t end = ::lseek(fd, at, SEEK_HOLE);
    if (end <= at) {
      ADD_FAILURE() << "empty data at " << at;
      break;
    }
    data.push_back({static_cast<std::uint64_t>(at), static_cast<std::uint64_t>(end)});
    at = end;
  }
  EXPECT_EQ(errno, ENXIO);
  return data;
}

std::uint64_t bytes_of(const std::vector<Extent>& data) {
  std::uint64_t bytes = 0;
  for (const Extent& extent : data) {
    bytes += extent.end - extent.begin;
  }
  return bytes;
}

bool covers(const std::vector<Extent>& data, std::uint64_t begin, std::uint64_t end) {
  return std::ranges::any_of(
      data, [&](const Extent& extent) { return extent.begin <= begin && end <= extent.end; });
}

bool is_zero(const std::byte* bytes, std::size_t size) {
  static const std::vector<std::byte> zeros(kMiB);
  return std::memcmp(bytes, zeros.data(), size) == 0;
}

/// Reads all of the file, and expects every page that is not zero in `data`.
void expect_all_in(int fd, const std::vector<Extent>& data) {
  std::vector<std::byte> buffer(kMiB);
  for (std::uint64_t at = 0; at < kSize; at += kMiB) {
    ASSERT_EQ(::pread(fd, buffer.data(), kMiB, static_cast<off_t>(at)), static_cast<ssize_t>(kMiB));
    if (is_zero(buffer.data(), kMiB)) {
      continue;
    }
    for (std::uint64_t page = 0; page < kMiB; page += 4096) {
      if (!is_zero(buffer.data() + page, 4096)) {
        ASSERT_TRUE(covers(data, at + page, at + page + 4096)) << std::hex << at + page;
      }
    }
  }
}

std::uint64_t blocks_of(const std::string& path) {
  struct stat status {};
  EXPECT_EQ(::stat(path.c_str(), &status), 0) << path;
  return static_cast<std::uint64_t>(status.st_blocks) * 512;
}

std::string file_bytes(const std::string& path, std::uint64_t begin, std::size_t size) {
  const UniqueFd file{::open(path.c_str(), O_RDONLY | O_CLOEXEC)};
  const auto read = pread_at(file.get(), begin, size);
  return {reinterpret_cast<const char*>(read.bytes.data()), read.bytes.size()};
}

/// A guest of 4 GiB that has not run yet. `backend`: QEMU's memory backend, %s its file.
class SparseGuest {
public:
  explicit SparseGuest(const std::string& backend, const std::string& directory = {}) {
    if (!directory.empty()) {
      file_ = fmt::format("{}/vmemfs-sparse-{}", directory, ::getpid());
    }
    GuestOptions options;
    options.memory = "4G";
    options.kernel = false; // started below, when the test has seen the memory untouched
    options.extra = {"-S", "-kernel", VMEMFS_TINY_GUEST, "-append", "fill=80M idle"};
    if (!backend.empty()) {
      const std::string path = file_.empty() ? "" : ",mem-path=" + file_;
      options.extra.insert(options.extra.end(),
                           {"-object", backend + ",id=ram,size=4G" + path, "-machine", "memory-backend=ram"});
    }
    guest_ = std::make_unique<QemuGuest>(options);
  }
  ~SparseGuest() {
    if (!file_.empty()) {
      std::filesystem::remove(file_);
    }
  }
  SparseGuest(const SparseGuest&) = delete;
  SparseGuest& operator=(const SparseGuest&) = delete;

  [[nodiscard]] QemuGuest& operator*() { return *guest_; }
  [[nodiscard]] std::vector<std::string> vm() const {
    return {"--vm", fmt::format("vm=qemu:qmp={}", guest_->driver_socket())};
  }
  void run_and_pause() {
    guest_->resume();
    ASSERT_TRUE(guest_->wait_for_serial("vmemfs-guest ready")) << guest_->serial();
    guest_->pause();
  }

private:
  std::string file_;
  std::unique_ptr<QemuGuest> guest_;
};

struct Backend {
  std::string name;
  std::string object;    ///< empty: what QEMU does by itself, which is private
  std::string directory; ///< of its file; empty: none
};

class SparseFiles : public testing::TestWithParam<Backend> {
protected:
  /// Compares with what QEMU writes out, in the parts that the guest has touched.
  void expect_truth(const std::string& copy) {
    for (const Extent range : {Extent{0x100000, 3 * kMiB}, Extent{kFillBegin, kFillEnd}}) {
      const auto truth = (*guest_).pmemsave(range.begin, range.end - range.begin);
      EXPECT_EQ(file_bytes(copy, range.begin, range.end - range.begin),
                std::string(reinterpret_cast<const char*>(truth.data()), truth.size()));
    }
  }

  TempDir dir_;
  SparseGuest guest_{GetParam().object, GetParam().directory};
  Mount mount_{guest_.vm()};
};

TEST_P(SparseFiles, UntouchedMemory_IsAHole_AndDataOnceTheGuestTouchesIt) {
  const UniqueFd mem{::open((mount_ / "vm/mem").c_str(), O_RDONLY | O_CLOEXEC)};
  const UniqueFd padded{::open((mount_ / "vm/mem_padded").c_str(), O_RDONLY | O_CLOEXEC)};
  const off_t before = ::lseek(mem.get(), kFillBegin, SEEK_DATA);
  EXPECT_TRUE(before < 0 || before >= static_cast<off_t>(kFillEnd)) << before;
  EXPECT_EQ(::lseek(mem.get(), kFillBegin, SEEK_HOLE), static_cast<off_t>(kFillBegin));
  EXPECT_EQ(pread_at(mem.get(), kFillBegin, 4096).bytes, std::vector<std::byte>(4096));
  const std::uint64_t blocks = blocks_of(mount_ / "vm/mem");
  EXPECT_GT(blocks, 0U);
  EXPECT_LT(blocks, kGiB);

  guest_.run_and_pause();
  const auto data = data_of(mem.get());
  EXPECT_EQ(data_of(padded.get()), data);
  EXPECT_TRUE(covers(data, kFillBegin, kFillEnd));
  EXPECT_LT(bytes_of(data), 256 * kMiB);
  EXPECT_GE(blocks_of(mount_ / "vm/mem"), blocks + (kFillEnd - kFillBegin) * 9 / 10);
  EXPECT_LT(blocks_of(mount_ / "vm/mem"), kGiB);
  expect_all_in(padded.get(), data);
}

TEST_P(SparseFiles, Copies_AreSmallAndComplete) {
  guest_.run_and_pause();
  const std::string copy = dir_ / "copy";
  const RunResult copied = run({"cp", "--sparse=always", mount_ / "vm/mem", copy});
  ASSERT_EQ(copied.code, 0) << copied.text;
  EXPECT_LT(blocks_of(copy), 256 * kMiB);
  EXPECT_EQ(run({"cmp", copy, mount_ / "vm/mem_padded"}).code, 0);
  expect_truth(copy);

  const std::string archive = dir_ / "archive";
  const RunResult packed = run({"tar", "-C", mount_ / "vm", "-cSf", archive, "mem_padded"});
  ASSERT_LE(packed.code, 1) << packed.text; // 1: mtime has changed, as when the pause is noticed
  EXPECT_LT(std::filesystem::file_size(archive), 256 * kMiB);
  ASSERT_EQ(run({"tar", "-C", dir_.path(), "-xSf", archive}).code, 0);
  EXPECT_EQ(run({"cmp", dir_ / "mem_padded", copy}).code, 0);
}

/// After all of it was read, which leaves pages of zeros behind, and while the guest runs.
TEST_P(SparseFiles, AfterReadingAll_HolesAreStillThere_AndMemoryHasNotGrown) {
  guest_.run_and_pause();
  const UniqueFd padded{::open((mount_ / "vm/mem_padded").c_str(), O_RDONLY | O_CLOEXEC)};
  const auto before = data_of(padded.get());
  const std::uint64_t blocks = blocks_of(mount_ / "vm/mem");
  ASSERT_EQ(run({"dd", "if=" + (mount_ / "vm/mem_padded"), "of=/dev/null", "bs=1M"}).code, 0);
  EXPECT_EQ(data_of(padded.get()), before);
  EXPECT_LT(blocks_of(mount_ / "vm/mem"), blocks + 16 * kMiB);
  (*guest_).resume();
  EXPECT_LT(bytes_of(data_of(padded.get())), 256 * kMiB);
}

INSTANTIATE_TEST_SUITE_P(Backends, SparseFiles,
                         testing::Values(Backend{"private", "", ""},
                                         Backend{"memfd", "memory-backend-memfd,share=on", ""},
                                         Backend{"shm", "memory-backend-file,share=on", "/dev/shm"},
                                         Backend{"disk", "memory-backend-file,share=on", "/var/tmp"}),
                         [](const auto& backend) { return backend.param.name; });

/// Where the process has no page of its own, the file's data is what the guest sees.
TEST(SparsePrivateFile, DataOfTheFile_IsNoHole) {
  const std::string path = fmt::format("/var/tmp/vmemfs-sparse-{}", ::getpid());
  {
    const UniqueFd file{::open(path.c_str(), O_CREAT | O_RDWR | O_CLOEXEC, 0600)};
    ASSERT_EQ(::ftruncate(file.get(), 4 * kGiB), 0);
    ASSERT_EQ(::pwrite(file.get(), "text", 4, kGiB), 4);
  }
  SparseGuest guest{"memory-backend-file,share=off", "/var/tmp"};
  Mount mount{guest.vm()};
  const UniqueFd mem{::open((mount / "vm/mem").c_str(), O_RDONLY | O_CLOEXEC)};
  EXPECT_EQ(::lseek(mem.get(), kGiB, SEEK_DATA), static_cast<off_t>(kGiB));
  EXPECT_EQ(file_bytes(mount / "vm/mem", kGiB, 4), "text");
  EXPECT_GE(blocks_of(mount / "vm/mem"), kSize - kGiB - 0x20000);
}

} // namespace
} // namespace vmemfs::test
