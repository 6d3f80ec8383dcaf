// SPDX-License-Identifier: MIT
#include "vm/vm_name.h"

#include <gtest/gtest.h>

namespace vmemfs {
namespace {

using namespace std::string_literals;

TEST(VmName, UnsafeCharacters_AreReplaced) {
  const struct {
    std::string wanted;
    std::string safe;
  } kCases[] = {
      {"web01", "web01"},
      {"web 01 (test)", "web 01 (test)"},
      {"weiß-\u65e5\u672c", "weiß-\u65e5\u672c"},
      {"", ""},
      {".", "_"},
      {"..", "_."},
      {".vmemfs", "_vmemfs"},
      {"../../etc/passwd", "_._.._etc_passwd"},
      {"-rf", "_rf"},
      {"a\nb\tc\x7f", "a_b_c_"},
      {"a\0b"s, "a_b"},
      {"a\x1b[31mred", "a_[31mred"},
      {"a\xc2\x9b"
       "31m",
       "a_31m"},                       // CSI as a C1 control
      {"a\u202egnp.exe", "a_gnp.exe"}, // right-to-left override
      {"a\u200bb\ufeff", "a_b_"},      // invisible
      {"\xff\xfe", "__"},              // not UTF-8
      {"\xc0\xaf", "__"},              // an overlong '/'
      {"\xed\xa0\x80", "___"},         // a surrogate
      {"cut\xe6\x97", "cut__"},        // an incomplete character
  };
  for (const auto& [wanted, safe] : kCases) {
    EXPECT_EQ(safe_vm_name(wanted), safe) << wanted;
    EXPECT_TRUE(safe.empty() || check_vm_name(safe)) << safe;
  }
}

TEST(VmName, LongName_IsTruncatedBetweenCharacters) {
  std::string wanted;
  for (int i = 0; i < 200; ++i) {
    wanted += "\u65e5";
  }
  const std::string safe = safe_vm_name(wanted);
  EXPECT_EQ(safe.size(), 255U);
  EXPECT_EQ(safe_vm_name(std::string(254, 'x') + "\u65e5"), std::string(254, 'x'));
  const std::string second = vm_name_candidate(safe, "4711", 1);
  EXPECT_LE(second.size(), 255U);
  EXPECT_TRUE(second.ends_with("\u65e5-4711")) << second;
}

TEST(VmName, Candidates_AreDistinct) {
  EXPECT_EQ(vm_name_candidate("web01", "4711", 0), "web01");
  EXPECT_EQ(vm_name_candidate("web01", "4711", 1), "web01-4711");
  EXPECT_EQ(vm_name_candidate("web01", "4711", 2), "web01-4711-2");
}

TEST(VmName, BaseName_IsNameElseUuidElseNumber) {
  EXPECT_EQ(vm_base_name("web01", "uuid", "4711"), "web01");
  EXPECT_EQ(vm_base_name("", "uuid", "4711"), "uuid");
  EXPECT_EQ(vm_base_name("", "", "4711"), "4711");
}

} // namespace
} // namespace vmemfs
