// SPDX-License-Identifier: MIT
// `vmemfs save --format kdump` of a guest that runs Linux, read by programs that are not ours: makedumpfile,
// which reads the kernel's structures by the file's VMCOREINFO, crash and drgn.
#include "e2e/images/linux_guest.h"
#include "support/mount.h"
#include "support/qemu_guest.h"
#include "util/unique_fd.h"

#include <cerrno>
#include <fcntl.h>
#include <filesystem>
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

namespace vmemfs::test {
namespace {

using testing::HasSubstr;

constexpr std::uint64_t kMiB = std::uint64_t{1} << 20U;

class SaveOfLinux : public LinuxGuestTest {
protected:
  void SetUp() override {
    LinuxGuestTest::SetUp();
    if (!IsSkipped() && !HasFatalFailure()) {
      guest_->pause();
    }
  }

  void expect_success(const std::string& command) const {
    const auto result = run({"sh", "-c", command});
    ASSERT_EQ(result.code, 0) << command << '\n' << result.text;
  }

  /// Each MiB of 13 in the memory of a saved file.
  void expect_memory(const std::string& file) {
    const Mount saved{{"--vm", "vm=dump:path=" + file}};
    const std::string path = saved / "vm/mem";
    const UniqueFd memory{::open(path.c_str(), O_RDONLY | O_CLOEXEC)};
    for (std::uint64_t gpa = kMiB; gpa < 512 * kMiB; gpa += 13 * kMiB) {
      EXPECT_TRUE(pread_at(memory.get(), gpa, kMiB).bytes == guest_->pmemsave(gpa, kMiB))
          << file << std::hex << gpa;
    }
  }

  TempDir dir_;
};

TEST_F(SaveOfLinux, Kdump_IsReadByMakedumpfileCrashAndDrgn) {
  const std::string file = dir_ / "vm.kdump";
  const auto saved = run({VMEMFS_PROGRAM, "save", "--format", "kdump", *mount_ / "vm", file});
  ASSERT_EQ(saved.code, 0) << saved.text;
  expect_memory(file);

  // Packed again, by other code from the first to the last byte; and flattened.
  const std::string again = dir_ / "again";
  ASSERT_NO_FATAL_FAILURE(expect_success(fmt::format("makedumpfile -l -d 0 {} {}", file, again)));
  expect_memory(again);
  std::filesystem::remove(again);
  ASSERT_NO_FATAL_FAILURE(expect_success(fmt::format(
      "{} save --quiet --format kdump {} - | makedumpfile -R {}", VMEMFS_PROGRAM, *mount_ / "vm", again)));
  constexpr int kTime = 408; // the two differ in the time of the dump, of 16 bytes
  expect_success(
      fmt::format("cmp -n {} {} {} && cmp -i {} {} {}", kTime, file, again, kTime + 16, file, again));
  std::filesystem::remove(again);

  // In two parts, of which any one opens both.
  const std::string first = dir_ / "part1";
  const std::string second = dir_ / "part2";
  ASSERT_NO_FATAL_FAILURE(
      expect_success(fmt::format("makedumpfile -c -d 0 --split {} {} {}", file, first, second)));
  expect_memory(first);
  expect_memory(second);

  // Each says which kernel it is; the record of the first one is no dump.
  const std::string banner = line_with(guest_->serial(), "banner: Linux version ");
  const auto releases = [&] {
    std::vector<std::string> found;
    const auto listed = run({VMEMFS_PROGRAM, "list", "--json", "--discover", "dump:dir=" + dir_.path()});
    for (const auto& entry : nlohmann::json::parse(listed.text)) {
      if (entry["attachable"] == true) {
        found.push_back(entry["release"].is_string() ? entry["release"].get<std::string>() : "none");
      }
    }
    return found;
  };
  EXPECT_TRUE(eventually([&] { return releases().size() == 3; }))
      << "files that are new appear after a while";
  for (const std::string& release : releases()) {
    EXPECT_THAT(banner, HasSubstr("Linux version " + release + " "));
  }

  // Only what the kernel uses: makedumpfile has found its page structures.
  ASSERT_NO_FATAL_FAILURE(expect_success(fmt::format("makedumpfile -l -d 31 {} {}", file, again)));
  EXPECT_LT(std::filesystem::file_size(again), 100 * kMiB);

  // Those that need no debug symbols for it, where they are installed.
  if (run({"sh", "-c", "command -v crash"}).code == 0) {
    const auto crash = run({"crash", "--osrelease", file});
    EXPECT_EQ(crash.code, 0) << crash.text;
    EXPECT_THAT(banner, HasSubstr("Linux version " + crash.text.substr(0, crash.text.find('\n')) + " "));
  }
  if (run({"sh", "-c", "command -v drgn"}).code == 0) {
    const std::string script = dir_ / "script.py";
    write_file(script, "print('release', prog['UTS_RELEASE'].string_().decode())\n"
                       "print('bytes', prog.read(0x100000, 4096, True).hex())\n");
    const auto drgn = run({"drgn", "-q", "--no-default-symbols", "-c", file, script});
    std::string expected = "bytes ";
    for (const std::byte byte : guest_->pmemsave(kMiB, 4096)) {
      expected += fmt::format("{:02x}", std::to_integer<unsigned>(byte));
    }
    EXPECT_THAT(drgn.text, HasSubstr(expected));
    const std::string release = drgn.text.substr(drgn.text.find("release ") + 8);
    EXPECT_THAT(banner, HasSubstr("Linux version " + release.substr(0, release.find('\n')) + " "));
  }
}

} // namespace
} // namespace vmemfs::test
