// SPDX-License-Identifier: MIT
// Domains whose memory reaches over 4 GiB. Too slow for every day: tests/xen/test release --large runs them.
#include "support/files.h"
#include "support/mount.h"
#include "util/unique_fd.h"
#include "xen/guests/layout.h"
#include "xen/lab_domain.h"

#include <algorithm>
#include <cstring>
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

namespace vmemfs::test {
namespace {

constexpr std::uint64_t kPage = 4096;
constexpr std::size_t kChunk = std::size_t{1} << 20U;
constexpr std::uint64_t kMib = 4710;

class DISABLED_XenLarge : public testing::TestWithParam<GuestKind> {};

TEST_P(DISABLED_XenLarge, EveryFrameIsReadAndThoseFilledAreRight) {
  const LabDomain domain{GetParam(), {.name = {}, .settings = {"memory=" + std::to_string(kMib)}}};
  const Mount mount{{"--vm", "large=xen:domain=" + domain.name()}};
  const UniqueFd fd{::open((mount / "large/mem_padded").c_str(), O_RDONLY | O_CLOEXEC)};
  struct stat status {};
  ASSERT_EQ(::fstat(fd.get(), &status), 0);
  const auto size = static_cast<std::uint64_t>(status.st_size);
  EXPECT_GE(size, kMib << 20U) << read_file(mount / "large/maps");

  const auto filled = domain.filled();
  const auto is_filled = [&](std::uint64_t at) {
    return std::ranges::any_of(filled,
                               [&](const auto& range) { return range.start <= at && at < range.end; });
  };
  std::uint64_t checked = 0;
  std::uint64_t wrong = 0;
  for (std::uint64_t at = 0; at < size; at += kChunk) {
    const auto read = pread_at(fd.get(), at, kChunk);
    ASSERT_EQ(read.error, 0) << std::hex << at;
    for (std::size_t page = 0; page + kPage <= read.bytes.size(); page += kPage) {
      if (is_filled(at + page)) {
        for (const std::size_t offset : {std::size_t{0}, std::size_t{kPage - 8}}) {
          std::uint64_t word = 0;
          std::memcpy(&word, read.bytes.data() + page + offset, sizeof(word));
          wrong += word == tg_pattern(at + page + offset) ? 0 : 1;
        }
        ++checked;
      }
    }
  }
  EXPECT_EQ(wrong, 0U);
  EXPECT_GT(checked, (kMib - 64) << 8U); // all but what the guest and its builder need
}

std::string kind_name(const testing::TestParamInfo<GuestKind>& info) { return to_string(info.param); }
INSTANTIATE_TEST_SUITE_P(Lab, DISABLED_XenLarge,
                         testing::Values(GuestKind::pv, GuestKind::pvh, GuestKind::hvm), kind_name);

} // namespace
} // namespace vmemfs::test
