// SPDX-License-Identifier: MIT
#include "image/image_bytes.h"
#include "image/saved/foreign_contents.h"
#include "util/unique_fd.h"

#include <cstdint>
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <span>
#include <string>
#include <string_view>
#include <utility>

namespace vmemfs::test {
namespace {

using testing::AllOf;
using testing::HasSubstr;

std::string_view content_of(const std::string& head) {
  return foreign_content(std::as_bytes(std::span{head.data(), head.size()}));
}

TEST(ForeignContents, OfAGuest_AreNone) {
  EXPECT_EQ(content_of(""), "");
  EXPECT_EQ(content_of("B"), "");
  EXPECT_EQ(content_of(std::string(4096, '\0')), "");
  EXPECT_EQ(content_of("\x53\xff\x00\xf0 vectors of a PC"), "");
}

TEST(ForeignContents, OpenedByContent_AreRefusedWithWhatHelps) {
  const std::string file = std::string{"LibvirtQemudSave"} + std::string(8192, 'x');
  for (const char* const format : {"", "known"}) {
    const auto image = open_bytes(file, format);
    ASSERT_FALSE(image) << format;
    EXPECT_EQ(image.error().kind, ErrorKind::invalid);
    EXPECT_THAT(image.error().text, AllOf(HasSubstr("virsh restore --paused"), HasSubstr("format=raw")));
  }
}

// `core` of it had a size that is negative, and with that errors in each listing.
TEST(RawImage, LargerThanAnyMachine_IsRefused) {
  const TempDir dir;
  write_file(dir / "image", "x");
  UniqueFd fd{::open((dir / "image").c_str(), O_RDONLY | O_CLOEXEC)};
  const auto image =
      open_image(SavedFile::adopt(std::move(fd), (std::uint64_t{1} << 63U) - 1), std::string_view{"raw"});
  ASSERT_FALSE(image);
  EXPECT_THAT(image.error().text, HasSubstr("52 bits"));
}

TEST(ForeignContents, NamedAsRaw_AreShown) {
  const auto image = open_bytes(std::string{"\x1f\x8b"} + std::string(8192, 'x'), "raw");
  ASSERT_TRUE(image);
  EXPECT_EQ(image->description, "raw image");
}

} // namespace
} // namespace vmemfs::test
