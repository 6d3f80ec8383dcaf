// SPDX-License-Identifier: MIT
// A real system in a domain, and what it says of itself.
#include "support/child_process.h"
#include "support/files.h"
#include "support/mount.h"
#include "util/unique_fd.h"
#include "xen/lab_domain.h"

#include <algorithm>
#include <cstddef>
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <memory>
#include <set>
#include <sstream>
#include <string>

namespace vmemfs::test {
namespace {

using testing::HasSubstr;

constexpr const char* kConsole =
    "/var/log/xen/guest-linux.log"; ///< what the guest prints, by Xen's console daemon

std::string console() { return exists(kConsole) ? read_file(kConsole) : ""; }

std::set<std::string> lines_after(const std::string& text, const std::string& start) {
  std::set<std::string> found;
  std::istringstream lines{text};
  for (std::string line; std::getline(lines, line);) {
    line.erase(std::remove(line.begin(), line.end(), '\r'), line.end());
    if (line.starts_with(start)) {
      found.insert(line.substr(start.size()));
    }
  }
  return found;
}

/// Which of the texts are nowhere in the file. All are shorter than what two chunks have in common.
std::set<std::string> missing_in(int fd, std::uint64_t size, std::set<std::string> texts) {
  constexpr std::size_t kChunk = std::size_t{1} << 20U;
  constexpr std::size_t kCommon = 1024;
  for (std::uint64_t at = 0; at < size && !texts.empty(); at += kChunk - kCommon) {
    const auto read = pread_at(fd, at, kChunk);
    const std::string_view bytes{reinterpret_cast<const char*>(read.bytes.data()), read.bytes.size()};
    std::erase_if(texts, [&](const std::string& text) { return bytes.find(text) != std::string_view::npos; });
  }
  return texts;
}

/// `linux/` of a PVH domain: found by its memory and registers.
void expect_linux_files(const std::string& directory, const std::string& banner,
                        const std::set<std::string>& processes) {
  const std::string info = read_file(directory + "/info");
  EXPECT_THAT(info, HasSubstr(R"("found": true)")) << info;
  EXPECT_THAT(info, HasSubstr(R"("missing": [])")) << info;
  EXPECT_EQ(read_file(directory + "/banner"), banner + '\n');
  EXPECT_THAT(read_file(directory + "/dmesg"), HasSubstr(banner));
  const std::string list = read_file(directory + "/ps");
  constexpr std::size_t kMaxComm = 15; // of a kernel thread /proc has more than its task_struct
  for (const std::string& name : processes) {
    EXPECT_THAT(list, HasSubstr('\t' + name.substr(0, kMaxComm) + '\t'));
  }
  EXPECT_THAT(list, HasSubstr("# complete: "));
}

/// The name that a process has in its memory: /proc adds to that of a kernel's worker what it works on,
/// behind a '-' or '+'.
std::string name_in_memory(const std::string& name) {
  return name.starts_with("kworker/") ? name.substr(0, name.find_first_of("-+")) : name;
}

TEST(XenLinux, BannerAndProcessNamesAreFoundInItsMemory) {
  xl({"create", "-q", "/lab/linux.cfg"});
  const std::shared_ptr<void> ended{nullptr, [](void*) {
                                      static_cast<void>(run({"xl", "destroy", "linux"}));
                                    }};
  ASSERT_TRUE(eventually([] { return console().find("lab-linux ready") != std::string::npos; },
                         std::chrono::seconds{400}))
      << console();
  const auto banner = lines_after(console(), "lab-linux banner: ");
  const auto processes = lines_after(console(), "lab-linux process: ");
  ASSERT_EQ(banner.size(), 1U);
  ASSERT_GT(processes.size(), 10U);
  ASSERT_TRUE(processes.contains("kthreadd"));
  std::set<std::string> wanted = banner;
  std::set<std::string> names;
  for (const std::string& name : processes) {
    names.insert(name_in_memory(name));
    wanted.insert(name_in_memory(name) + '\0'); // as in a task_struct
  }
  const Mount mount{{}, Discover::on};
  ASSERT_TRUE(eventually([&] { return exists(mount / "linux/mem_padded"); }));
  const UniqueFd fd{::open((mount / "linux/mem_padded").c_str(), O_RDONLY | O_CLOEXEC)};
  EXPECT_EQ(missing_in(fd.get(), 160U << 20U, wanted), std::set<std::string>{});
  expect_linux_files(mount / "linux/linux", *banner.begin(), names);
}

} // namespace
} // namespace vmemfs::test
