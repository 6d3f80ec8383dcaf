// SPDX-License-Identifier: MIT
// `ram/NAME` of real guests: the bytes of the backend, served by the kernel itself where it can, else by
// requests.
#include "e2e/memory/mapping.h"
#include "guests/tiny/layout.h"
#include "support/mount.h"
#include "support/qemu_guest.h"
#include "support/users.h"
#include "util/unique_fd.h"

#include <cerrno>
#include <csignal>
#include <fcntl.h>
#include <filesystem>
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>
#include <stdexcept>
#include <sys/stat.h>
#include <unistd.h>

namespace vmemfs::test {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using testing::StartsWith;

constexpr std::uint64_t kMiB = 1 << 20;
constexpr std::uint64_t kSize = 64 * kMiB;
constexpr std::size_t kPage = 4096;
constexpr std::uint64_t kLow = 0xa0000; ///< below video memory, which pmemsave reads through the device

/// Linux 6.9 and root; see Passthrough.
bool passes_through() {
  utsname name{};
  std::pair<int, int> release{};
  // NOLINTNEXTLINE(cert-err34-c): a release that is not understood is one that cannot
  return ::geteuid() == 0 && ::uname(&name) == 0 &&
         std::sscanf(name.release, "%d.%d", &release.first, &release.second) == 2 &&
         release >= std::pair{6, 9};
}

UniqueFd open_file(const std::string& path, int flags = O_RDONLY) {
  return UniqueFd{::open(path.c_str(), flags | O_CLOEXEC)};
}

std::uint64_t blocks_of(const std::string& path) {
  struct stat status {};
  EXPECT_EQ(::stat(path.c_str(), &status), 0) << path;
  return static_cast<std::uint64_t>(status.st_blocks) * 512;
}

struct Backend {
  std::string name;
  std::string object;    ///< QEMU's
  std::string directory; ///< of its file; empty: none
  bool shared = true;
};

/// A guest with a memory backend `ram`.
class BackedGuest {
public:
  explicit BackedGuest(const Backend& backend, const std::string& memory = "64M", bool runs = true) {
    if (!backend.directory.empty()) {
      file_ = fmt::format("{}/vmemfs-block-{}", backend.directory, ::getpid());
    }
    GuestOptions options;
    options.memory = memory;
    const std::string path = file_.empty() ? "" : ",mem-path=" + file_;
    options.extra = {"-vga",     "std",
                     "-object",  fmt::format("{},id=ram,size={}{}", backend.object, memory, path),
                     "-machine", "memory-backend=ram"};
    if (!runs) {
      options.kernel = false;
      options.extra.emplace_back("-S");
    }
    guest_ = std::make_unique<QemuGuest>(options);
  }
  ~BackedGuest() {
    if (!file_.empty()) {
      std::filesystem::remove(file_);
    }
  }
  BackedGuest(const BackedGuest&) = delete;
  BackedGuest& operator=(const BackedGuest&) = delete;

  [[nodiscard]] QemuGuest& operator*() { return *guest_; }
  [[nodiscard]] QemuGuest* operator->() { return guest_.get(); }
  [[nodiscard]] std::vector<std::string> vm() const {
    return {"--vm", fmt::format("vm=qemu:qmp={}", guest_->driver_socket())};
  }
  /// The file behind its memory, as QEMU has it open.
  [[nodiscard]] std::string backing() const {
    for (const auto& link : std::filesystem::directory_iterator{fmt::format("/proc/{}/fd", guest_->pid())}) {
      std::error_code error;
      const std::string to = std::filesystem::read_symlink(link, error).string();
      if (to.starts_with("/memfd:memory-backend") || (!file_.empty() && to.starts_with(file_))) {
        return link.path();
      }
    }
    return "none";
  }

private:
  std::string file_;
  std::unique_ptr<QemuGuest> guest_;
};

std::vector<std::byte> bytes_at(const UniqueFd& file, std::uint64_t at, std::size_t size) {
  return pread_at(file.get(), at, size).bytes;
}

/// How `ram/NAME` was served when it was opened last.
std::string service_of(const Mount& mount, const std::string& name = "ram") {
  const auto text = nlohmann::json::parse(read_file(mount / "vm/info"))["ram_files"][name];
  return text.is_string() ? text.get<std::string>() : "not opened";
}

/// Reads of guest memory that came to vmemfs.
std::uint64_t reads_of(const Mount& mount) {
  const std::string text = read_file(mount / ".vmemfs/stats");
  const std::string name = "vmemfs_reads_total{vm=\"vm\",driver=\"qemu\"} ";
  return std::stoull(text.substr(text.find(name) + name.size()));
}

const Backend kMemfd{"memfd", "memory-backend-memfd,share=on", ""};
const Backend kPrivate{"private", "memory-backend-ram", "", false};

class Blocks : public testing::TestWithParam<Backend> {
protected:
  [[nodiscard]] static bool is_passed() { return passes_through() && GetParam().shared; }
};

TEST_P(Blocks, PausedGuest_EqualsPmemsaveAndTheBackend) {
  BackedGuest guest{GetParam()};
  guest->pause();
  const Mount mount{guest.vm()};
  const UniqueFd file = open_file(mount / "vm/ram/ram");
  ASSERT_TRUE(file) << errno;
  struct stat status {};
  ASSERT_EQ(::fstat(file.get(), &status), 0);
  EXPECT_EQ(status.st_size, static_cast<off_t>(kSize));
  EXPECT_EQ(status.st_mode, S_IFREG | 0400U);
  EXPECT_LE(status.st_blocks * 512, status.st_size);

  const std::uint64_t before = reads_of(mount);
  const auto all = bytes_at(file, 0, kSize);
  ASSERT_EQ(all.size(), kSize);
  const auto part = [&](std::uint64_t begin, std::uint64_t end) {
    return std::vector<std::byte>(all.begin() + static_cast<off_t>(begin),
                                  all.begin() + static_cast<off_t>(end));
  };
  EXPECT_TRUE(part(0, kLow) == guest->pmemsave(0, kLow));
  EXPECT_TRUE(part(kMiB, kSize) == guest->pmemsave(kMiB, kSize - kMiB));
  EXPECT_TRUE(bytes_at(file, kSize, kPage).empty()) << "the end";
  if (GetParam().shared) {
    EXPECT_TRUE(all == bytes_at(open_file(guest.backing()), 0, kSize)) << "what video memory hides, too";
  }
  if (is_passed()) {
    EXPECT_EQ(service_of(mount), "passthrough");
    EXPECT_EQ(reads_of(mount), before) << "no read came to vmemfs";
  } else {
    EXPECT_THAT(service_of(mount), StartsWith("requests: "));
    EXPECT_GT(reads_of(mount), before);
  }
}

TEST_P(Blocks, RunningGuest_MappingIsLive) {
  BackedGuest guest{GetParam()};
  const Mount mount{guest.vm()};
  const UniqueFd file = open_file(mount / "vm/ram/ram");
  const std::uint64_t before = reads_of(mount);
  const Mapping mapping{file.get(), TG_INFO_GPA, kPage, MAP_SHARED};
  if (mapping.bad()) {
    ASSERT_FALSE(is_passed() || kernel_maps_shared()) << errno;
    GTEST_SKIP() << kNotShared;
  }
  const auto* const counter =
      reinterpret_cast<const volatile std::uint64_t*>(mapping.data() + TG_INFO_OFF_COUNTER);
  const std::uint64_t first = *counter;
  EXPECT_TRUE(eventually([&] { return *counter > first; }));
  guest->pause();
  const auto truth = guest->pmemsave(TG_INFO_GPA, kPage);
  EXPECT_TRUE(eventually([&] { return mapping.read(0, kPage) == truth; }));
  if (is_passed()) {
    EXPECT_EQ(reads_of(mount), before) << "it is the guest's own page";
  }
}

TEST_P(Blocks, Writes_OnlyWhileTheyAreOn_AndByRequests) {
  BackedGuest guest{GetParam()};
  const Mount mount{guest.vm()};
  const std::string path = mount / "vm/ram/ram";
  constexpr std::uint64_t kAt = 0x400000;
  const std::vector<std::byte> bytes(64, std::byte{0x5a});
  const UniqueFd reader = open_file(path);
  ASSERT_TRUE(reader);
  if (const UniqueFd early = open_file(path, O_WRONLY)) { // root may
    EXPECT_EQ(::pwrite(early.get(), bytes.data(), bytes.size(), kAt), -1);
  }
  EXPECT_EQ(errno, EROFS);
  EXPECT_FALSE(open_file(path, O_RDONLY | O_TRUNC));
  EXPECT_FALSE(open_file(path, O_WRONLY | O_APPEND));

  ASSERT_EQ(try_write(mount / "vm/control", "write on\n"), 0);
  if (is_passed()) {
    EXPECT_FALSE(open_file(path, O_RDWR));
    EXPECT_EQ(errno, EBUSY) << "it could be mapped to write";
    EXPECT_THAT(line_with(read_file(mount / "vm/control"), "last_error"),
                AllOf(HasSubstr("passthrough"), HasSubstr("open it for writing only")));
  }
  UniqueFd writer = open_file(path, O_WRONLY);
  ASSERT_TRUE(writer) << errno;
  ASSERT_EQ(::pwrite(writer.get(), bytes.data(), bytes.size(), kAt), 64);
  EXPECT_EQ(bytes_at(reader, kAt, 64), bytes);
  EXPECT_EQ(guest->pmemsave(kAt, 64), bytes);
  EXPECT_THAT(mount.log(), HasSubstr("wrote 64 bytes")) << "each write is logged";
  EXPECT_EQ(::pwrite(writer.get(), bytes.data(), bytes.size(), kLow), -1) << "hidden by video memory";
  EXPECT_EQ(errno, EIO);

  ASSERT_EQ(try_write(mount / "vm/control", "write off\n"), 0);
  EXPECT_EQ(::pwrite(writer.get(), bytes.data(), bytes.size(), kAt), -1) << "open files keep no right";
  EXPECT_EQ(errno, EROFS);
}

TEST_P(Blocks, OpenForReadingAndWriting_BesideReaders) {
  BackedGuest guest{GetParam()};
  const Mount mount{guest.vm()};
  const std::string path = mount / "vm/ram/ram";
  ASSERT_EQ(try_write(mount / "vm/control", "write on\n"), 0);
  const UniqueFd both = open_file(path, O_RDWR);
  ASSERT_TRUE(both) << errno;
  const UniqueFd reader = open_file(path);
  ASSERT_TRUE(reader) << errno;
  const std::vector<std::byte> bytes(16, std::byte{0x77});
  ASSERT_EQ(::pwrite(both.get(), bytes.data(), bytes.size(), 0x400000), 16);
  EXPECT_EQ(bytes_at(reader, 0x400000, 16), bytes);
  EXPECT_EQ(bytes_at(both, 0x400000, 16), bytes);
  Mapping mapping{both.get(), 0x400000, kPage, MAP_SHARED, PROT_READ | PROT_WRITE};
  if (!mapping.bad()) {
    EXPECT_FALSE(mapping.write(0, std::vector<std::byte>(16, std::byte{0x11})));
  }
  EXPECT_EQ(guest->pmemsave(0x400000, 16), bytes) << "no mapping writes the guest";
}

TEST_P(Blocks, VmIsKilled_NewOpensFail_AndOpenFilesAreWhatTheyCanBe) {
  BackedGuest guest{GetParam()};
  const Mount mount{guest.vm()};
  const UniqueFd directory = open_file(mount / "vm/ram", O_RDONLY | O_DIRECTORY);
  const UniqueFd file = open_file(mount / "vm/ram/ram");
  const UniqueFd mem = open_file(mount / "vm/mem");
  ASSERT_TRUE(file && mem && directory);
  const auto before = bytes_at(file, 0x400000, kPage);
  ASSERT_EQ(::kill(guest->pid(), SIGKILL), 0);
  ASSERT_TRUE(eventually([&] { return pread_at(mem.get(), 0, kPage).error == ENODEV; }));
  EXPECT_TRUE(eventually([&] { return !std::filesystem::exists(mount / "vm"); }));
  EXPECT_LT(::openat(directory.get(), "ram", O_RDONLY | O_CLOEXEC), 0);
  const auto after = pread_at(file.get(), 0x400000, kPage);
  if (is_passed()) { // the kernel has the file, whoever else has not
    EXPECT_EQ(after.bytes, before);
    EXPECT_EQ(::lseek(file.get(), 0, SEEK_DATA), -1);
    EXPECT_EQ(errno, ENODEV);
  } else {
    EXPECT_EQ(after.error, ENODEV);
  }
}

TEST_P(Blocks, DaemonIsKilled_TheMountGoesAndTheNextOneWorks) {
  BackedGuest guest{GetParam()};
  guest->pause();
  Mount mount{guest.vm()};
  const UniqueFd file = open_file(mount / "vm/ram/ram");
  const auto before = bytes_at(file, 0x400000, kPage);
  mount.kill_daemon();
  EXPECT_TRUE(eventually([&] { return is_plain_directory(mount.path()); }));
  const auto after = pread_at(file.get(), 0x400000, kPage);
  if (is_passed()) {
    EXPECT_EQ(after.bytes, before) << "the kernel serves it without the daemon";
  } else {
    EXPECT_NE(after.error, 0);
  }
  Mount next{guest.vm()};
  EXPECT_EQ(bytes_at(open_file(next / "vm/ram/ram"), 0x400000, kPage), before);
  EXPECT_EQ(service_of(next) == "passthrough", is_passed());
  EXPECT_EQ(next.unmount(), 0);
}

INSTANTIATE_TEST_SUITE_P(, Blocks,
                         testing::Values(kMemfd, Backend{"shm", "memory-backend-file,share=on", "/dev/shm"},
                                         Backend{"disk", "memory-backend-file,share=on", "/var/tmp"},
                                         kPrivate),
                         [](const auto& backend) { return backend.param.name; });

/// A guest of 256 MiB that has not run.
class SparseBlock : public testing::Test {
protected:
  static constexpr std::uint64_t kAll = 256 * kMiB;
  BackedGuest guest_{kMemfd, "256M", false};
  Mount mount_{guest_.vm()};
  const std::string backing_ = guest_.backing();
};

TEST_F(SparseBlock, ReadingAllOfIt_AllocatesNothing) {
  const std::uint64_t before = blocks_of(backing_);
  EXPECT_LT(before, kMiB);
  EXPECT_LT(blocks_of(mount_ / "vm/ram/ram"), kMiB);
  const UniqueFd file = open_file(mount_ / "vm/ram/ram");
  EXPECT_LT(::lseek(file.get(), kMiB, SEEK_DATA), 0) << "nothing behind what firmware and video memory hide";
  EXPECT_EQ(bytes_at(file, 0, kAll), std::vector<std::byte>(kAll));
  EXPECT_EQ(blocks_of(backing_), before);
}

/// As touching a mapping of the file itself: what is documented.
TEST_F(SparseBlock, TouchingHolesOfAPassedMapping_AllocatesThem) {
  if (!passes_through()) {
    GTEST_SKIP() << "takes root and Linux 6.9";
  }
  const std::uint64_t before = blocks_of(backing_);
  const UniqueFd file = open_file(mount_ / "vm/ram/ram");
  const Mapping mapping{file.get(), 0, kAll, MAP_SHARED};
  ASSERT_FALSE(mapping.bad()) << errno;
  EXPECT_EQ(mapping.read(100 * kMiB, kMiB), std::vector<std::byte>(kMiB));
  EXPECT_GE(blocks_of(backing_), before + kMiB);
}

/// A mapping of `mem` allocates nothing, whatever the file behind it.
TEST_F(SparseBlock, TouchingHolesOfMem_AllocatesNothing) {
  const std::uint64_t before = blocks_of(backing_);
  const UniqueFd file = open_file(mount_ / "vm/mem");
  const Mapping mapping{file.get(), 0, kAll, MAP_PRIVATE};
  ASSERT_FALSE(mapping.bad()) << errno;
  EXPECT_EQ(mapping.read(100 * kMiB, kMiB), std::vector<std::byte>(kMiB));
  EXPECT_EQ(blocks_of(backing_), before);
}

/// A guest with a DIMM `m1` of shared memory, which is replaced as by a guest that ejects it.
class ReplacedBlock : public testing::Test {
protected:
  static constexpr std::uint64_t kBefore = 32 * kMiB;
  static constexpr std::uint64_t kAfter = 64 * kMiB;
  static constexpr std::uint64_t kAt = 3 * kMiB;

  static GuestOptions options() {
    GuestOptions options;
    options.memory = "64M,slots=1,maxmem=1G";
    return options;
  }

  /// Returns its file, filled with `fill` at kAt.
  UniqueFd plug(std::uint64_t size, char fill) {
    guest_.monitor().execute(
        "object-add", {{"qom-type", "memory-backend-memfd"}, {"id", "m1"}, {"size", size}, {"share", true}});
    guest_.monitor().execute("device_add", {{"driver", "pc-dimm"}, {"id", "d1"}, {"memdev", "m1"}});
    EXPECT_TRUE(eventually([&] { return size_of_file() == size; }));
    for (const auto& link : std::filesystem::directory_iterator{fmt::format("/proc/{}/fd", guest_.pid())}) {
      std::error_code error;
      if (std::filesystem::read_symlink(link, error).string().starts_with("/memfd:memory-backend")) {
        UniqueFd file = open_file(link.path(), O_RDWR);
        const std::string bytes(kPage, fill);
        EXPECT_EQ(::pwrite(file.get(), bytes.data(), bytes.size(), kAt), static_cast<ssize_t>(kPage));
        return file;
      }
    }
    throw std::runtime_error{"QEMU has no file of the DIMM"};
  }
  void unplug() {
    guest_.monitor().human("o /w 0xa00 0"); // the slot
    guest_.monitor().human("o /b 0xa14 8"); // ejects what is in it
    guest_.monitor().execute("object-del", {{"id", "m1"}});
  }

  [[nodiscard]] std::uint64_t size_of_file() const {
    struct stat status {};
    return ::stat(path_.c_str(), &status) == 0 ? static_cast<std::uint64_t>(status.st_size) : 0;
  }
  static std::vector<std::byte> page_of(char fill) { return {kPage, static_cast<std::byte>(fill)}; }

  QemuGuest guest_{options()};
  Mount mount_{{"--vm", fmt::format("vm=qemu:qmp={}", guest_.driver_socket())}};
  const std::string path_ = mount_ / "vm/ram/m1";
};

TEST_F(ReplacedBlock, FileOfTheFormerOneIsOpen_NewOneIsServedToAllAndTheOldOneKeepsItsMemory) {
  if (!passes_through()) {
    GTEST_SKIP() << "takes root and Linux 6.9";
  }
  static_cast<void>(plug(kBefore, 'A'));
  const UniqueFd former = open_file(path_);
  ASSERT_EQ(service_of(mount_, "m1"), "passthrough");
  const UniqueFd handle = open_file(path_, O_PATH);
  unplug();
  EXPECT_TRUE(eventually([&] { return !std::filesystem::exists(path_); }));
  const UniqueFd truth = plug(kAfter, 'B');
  ASSERT_EQ(try_write(mount_ / "vm/control", "write on\n"), 0);
  {
    const UniqueFd both = open_file(path_, O_RDWR);
    ASSERT_TRUE(both) << errno;
    EXPECT_EQ(bytes_at(both, kAt, kPage), page_of('B'));
  }
  EXPECT_TRUE(eventually([&] {
    const UniqueFd reader = open_file(path_);
    return reader && service_of(mount_, "m1") == "passthrough";
  })) << "the end of the other one is reported late";
  const UniqueFd reader = open_file(path_);
  const UniqueFd writer = open_file(path_, O_WRONLY);
  ASSERT_TRUE(reader && writer) << errno;
  EXPECT_EQ(bytes_at(reader, kAt, kPage), page_of('B'));
  Mapping mapping{reader.get(), kAt, kPage, MAP_SHARED};
  ASSERT_FALSE(mapping.bad()) << errno;
  EXPECT_EQ(mapping.read(0, kPage), page_of('B'));
  EXPECT_EQ(::pwrite(writer.get(), page_of('C').data(), kPage, kAt), static_cast<ssize_t>(kPage)) << errno;
  EXPECT_EQ(bytes_at(truth, kAt, kPage), page_of('C'));
  EXPECT_EQ(mapping.read(0, kPage), page_of('C'));
  EXPECT_EQ(bytes_at(former, kAt, kPage), page_of('A'));
  EXPECT_TRUE(bytes_at(former, kBefore, kPage).empty());
  EXPECT_FALSE(open_file(fmt::format("/proc/self/fd/{}", handle.get())));
  EXPECT_EQ(errno, ESTALE) << "the file that was found before is not this one";
}

/// The kernel has a backing file open for writing, so that nobody could execute it meanwhile.
TEST(BlockOfReadOnlyFile, IsServedByRequests_AndCanBeExecuted) {
  const TempDir dir;
  const std::string program = dir / "program";
  std::filesystem::copy_file("/bin/true", program);
  std::filesystem::resize_file(program, 16 * kMiB);
  GuestOptions options;
  options.machine = "pc,nvdimm=on";
  options.memory = "64M,slots=2,maxmem=512M";
  options.extra = {"-object",
                   fmt::format("memory-backend-file,id=m,mem-path={},share=on,readonly=on,size=16M", program),
                   "-device", "nvdimm,memdev=m,id=d0,unarmed=on"};
  const QemuGuest guest{options};
  const Mount mount{{"--vm", fmt::format("vm=qemu:pid={}", guest.pid())}};
  const UniqueFd block = open_file(mount / "vm/ram/m");
  ASSERT_TRUE(block);
  EXPECT_EQ(bytes_at(block, 0, 4), bytes_at(open_file(program), 0, 4));
  EXPECT_THAT(service_of(mount, "m"),
              testing::AnyOf(HasSubstr("does not map its file to write"), HasSubstr("Linux 6.9")));
  EXPECT_EQ(run({program}).code, 0);
}

TEST(BlockNamesOfQemu, AllOfMapsHaveAFile) {
  BackedGuest guest{kMemfd};
  guest->pause();
  const Mount mount{guest.vm()};
  EXPECT_TRUE(std::filesystem::exists(mount / "vm/ram/pc.bios"));
  const UniqueFd video = open_file(mount / "vm/ram/vga.vram");
  ASSERT_TRUE(video) << read_file(mount / "vm/maps");
  EXPECT_EQ(pread_at(video.get(), 0, kMiB).bytes.size(), kMiB) << "above the end of main memory";
  const UniqueFd bios = open_file(mount / "vm/ram/pc.bios");
  const auto firmware = bytes_at(bios, 0, 0x40000);
  EXPECT_EQ(firmware, guest->pmemsave(0xfffc0000, 0x40000));
}

/// Without rights to mount, so by fusermount3.
TEST(BlockOfOrdinaryUser, IsServedByRequestsAndSaysWhy) {
  constexpr uid_t kOrdinary = 65534; // fusermount3 requires a user with a name
  if (::geteuid() != 0) {
    GTEST_SKIP() << "becoming other users takes root";
  }
  std::vector<std::string> probe = as_user(kOrdinary);
  probe.insert(probe.end(), {"test", "-x", VMEMFS_PROGRAM, "-a", "-r", VMEMFS_TINY_GUEST});
  if (run(probe).code != 0) {
    GTEST_SKIP() << "other users cannot get at " << VMEMFS_PROGRAM;
  }
  allow_mounts_for_all();
  GuestOptions options;
  options.user = kOrdinary;
  options.extra = {"-object", "memory-backend-memfd,id=ram,size=64M,share=on", "-machine",
                   "memory-backend=ram"};
  QemuGuest guest{options};
  guest.pause();
  const Mount mount{{"--vm", fmt::format("vm=qemu:qmp={}", guest.driver_socket())},
                    Discover::off,
                    RunAs{as_user(kOrdinary), kOrdinary}};
  std::vector<std::string> copy = as_user(kOrdinary);
  const std::string command = fmt::format("dd if={} bs=1M skip=16 count=1 status=none | sha256sum; cat {}",
                                          mount / "vm/ram/ram", mount / "vm/info");
  copy.insert(copy.end(), {"sh", "-c", command});
  const auto result = run(copy);
  ASSERT_EQ(result.code, 0) << result.text;
  EXPECT_THAT(result.text, HasSubstr("\"ram\": \"requests: "));
  guest.pmemsave(16 * kMiB, kMiB, guest.dir() / "truth");
  const std::string truth = run({"sha256sum", guest.dir() / "truth"}).text;
  EXPECT_EQ(result.text.substr(0, 64), truth.substr(0, 64));
}

} // namespace
} // namespace vmemfs::test
