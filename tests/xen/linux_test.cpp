// SPDX-License-Identifier: MIT
// A real system in a domain, and what it says of itself.
#include "support/child_process.h"
#include "support/files.h"
#include "support/mount.h"
#include "util/unique_fd.h"
#include "xen/lab_domain.h"

#include <algorithm>
#include <fcntl.h>
#include <gtest/gtest.h>
#include <memory>
#include <set>
#include <sstream>

namespace vmemfs::test {
namespace {

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
  for (const std::string& name : processes) {
    // /proc adds to the name of a kernel's worker what it works on, behind a '-' or '+'.
    const bool worker = name.starts_with("kworker/");
    wanted.insert((worker ? name.substr(0, name.find_first_of("-+")) : name) + '\0'); // as in a task_struct
  }
  const Mount mount{{}, Discover::on};
  ASSERT_TRUE(eventually([&] { return exists(mount / "linux/mem_padded"); }));
  const UniqueFd fd{::open((mount / "linux/mem_padded").c_str(), O_RDONLY | O_CLOEXEC)};
  EXPECT_EQ(missing_in(fd.get(), 160U << 20U, wanted), std::set<std::string>{});
}

} // namespace
} // namespace vmemfs::test
