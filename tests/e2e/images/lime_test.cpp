// SPDX-License-Identifier: MIT
// `mem.lime` of a real guest, compared range by range with what QEMU itself writes out.
#include "support/mount.h"
#include "support/qemu_guest.h"

#include <cstring>
#include <filesystem>
#include <fmt/format.h>
#include <gtest/gtest.h>
#include <string>

namespace vmemfs::test {
namespace {

constexpr std::uint64_t kMiB = 1U << 20U;

/// A header of the format, read by its description.
struct LimeHeader {
  std::uint32_t magic;
  std::uint32_t version;
  std::uint64_t begin;
  std::uint64_t last;
  std::uint64_t reserved;
};
static_assert(sizeof(LimeHeader) == 32);

TEST(LimeImage, PausedGuestWithADimm_IsWhatQemuWritesOut) {
  GuestOptions options;
  options.memory = "64M,slots=1,maxmem=1G";
  options.extra = {"-object", "memory-backend-ram,id=dimm,size=128M", "-device", "pc-dimm,memdev=dimm"};
  QemuGuest guest{options};
  guest.pause();
  const Mount mount{{"--vm", fmt::format("vm=qemu:qmp={}", guest.driver_socket())}};
  const std::string image = read_file(mount / "vm/mem.lime");
  EXPECT_EQ(image.size(), std::filesystem::file_size(mount / "vm/mem.lime"));

  std::uint64_t ram = 0;
  std::uint64_t highest = 0;
  for (std::size_t at = 0; at < image.size();) {
    LimeHeader header{};
    ASSERT_LE(at + sizeof header, image.size());
    std::memcpy(&header, image.data() + at, sizeof header);
    ASSERT_EQ(header.magic, 0x4C694D45U) << at;
    EXPECT_EQ(header.version, 1U);
    EXPECT_EQ(header.reserved, 0U);
    const std::uint64_t size = header.last + 1 - header.begin;
    at += sizeof header;
    ASSERT_LE(at + size, image.size());
    const auto truth = guest.pmemsave(header.begin, size);
    EXPECT_TRUE(std::memcmp(image.data() + at, truth.data(), size) == 0) << std::hex << header.begin;
    at += size;
    ram += size;
    highest = header.last + 1;
  }
  EXPECT_GE(ram, (64 + 128) * kMiB - kMiB); // less than holes of the first MiB
  EXPECT_EQ(highest, std::filesystem::file_size(mount / "vm/mem"));
}

/// Sequential reads by others than dd: of any size, and of what is mapped.
TEST(LimeImage, PartsOfIt_AreTheSame) {
  QemuGuest guest{{}};
  guest.pause();
  const Mount mount{{"--vm", fmt::format("vm=qemu:qmp={}", guest.driver_socket())}};
  const TempDir dir;
  const std::string image = mount / "vm/mem.lime";
  ASSERT_EQ(run({"cp", image, dir / "cp"}).code, 0);
  ASSERT_EQ(run({"dd", "if=" + image, "of=" + (dir / "dd"), "bs=99991"}).code, 0);
  ASSERT_EQ(run({"cp", "--sparse=always", image, dir / "sparse"}).code, 0);
  const auto mapped = run({"python3", "-c",
                           "import mmap, sys; f = open(sys.argv[1], 'rb'); "
                           "m = mmap.mmap(f.fileno(), 0, prot=mmap.PROT_READ, flags=mmap.MAP_PRIVATE); "
                           "open(sys.argv[2], 'wb').write(m)",
                           image, dir / "mapped"});
  ASSERT_EQ(mapped.code, 0) << mapped.text;
  for (const char* const copy : {"dd", "sparse", "mapped"}) {
    EXPECT_EQ(run({"cmp", dir / "cp", dir / copy}).code, 0) << copy;
  }
}

} // namespace
} // namespace vmemfs::test
