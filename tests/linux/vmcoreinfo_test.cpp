// SPDX-License-Identifier: MIT
#include "linux/vmcoreinfo.h"

#include <gtest/gtest.h>

namespace vmemfs {
namespace {

/// Some lines of Debian's 6.1 kernel.
constexpr std::string_view kText = "OSRELEASE=6.1.0-56-cloud-amd64\n"
                                   "BUILD-ID=0123456789abcdef0123456789abcdef01234567\n"
                                   "PAGESIZE=4096\n"
                                   "SYMBOL(init_uts_ns)=ffffffff9261cc40\n"
                                   "SYMBOL(swapper_pg_dir)=ffffffff92610000\n"
                                   "SYMBOL(_stext)=ffffffff90c00000\n"
                                   "NUMBER(phys_base)=-255852544\n"
                                   "KERNELOFFSET=fc00000\n";

std::string page_of(std::string text) {
  text.resize(2 * kMaxVmcoreinfo);
  return text;
}

TEST(Vmcoreinfo, TextOfAKernel_IsRead) {
  const auto info = parse_vmcoreinfo(page_of(std::string{kText}));
  ASSERT_TRUE(info);
  EXPECT_EQ(info->text, kText);
  EXPECT_EQ(info->swapper_pg_dir, 0xffffffff92610000U);
  EXPECT_EQ(info->stext, 0xffffffff90c00000U);
  EXPECT_EQ(info->phys_base, -255852544);
}

TEST(Vmcoreinfo, TextThatFillsThePage_IsCutThere) {
  std::string text{kText};
  text.resize(3 * kMaxVmcoreinfo, 'x');
  const auto info = parse_vmcoreinfo(text);
  ASSERT_TRUE(info);
  EXPECT_EQ(info->text, text.substr(0, kMaxVmcoreinfo));
}

TEST(Vmcoreinfo, RepeatedKey_TheFirstCounts) {
  const auto info = parse_vmcoreinfo(std::string{kText} + "SYMBOL(swapper_pg_dir)=1\n");
  ASSERT_TRUE(info);
  EXPECT_EQ(info->swapper_pg_dir, 0xffffffff92610000U);
}

TEST(Vmcoreinfo, OtherTexts_None) {
  const std::string swapper = "SYMBOL(swapper_pg_dir)=ffffffff92610000\n";
  for (const std::string& text :
       {std::string{}, std::string{"OSRELEASE="}, "X" + std::string{kText}, "OSRELEASE=\x7f\n" + swapper,
        std::string{"OSRELEASE=1\0", 12} + swapper, std::string{"OSRELEASE=1\nSYMBOL(swapper_pg_dir)=\n"},
        std::string{"OSRELEASE=1\nSYMBOL(swapper_pg_dir)=fffffffff92610000\n"},
        std::string{"OSRELEASE=1\nSYMBOL(swapper_pg_dir)=0xffff\n"},
        std::string{"OSRELEASE=1\nSYMBOL(swapper_pg_dir)"}}) {
    EXPECT_FALSE(parse_vmcoreinfo(text)) << text;
  }
}

TEST(Vmcoreinfo, KeysWithNames_AreFound) {
  const auto info =
      parse_vmcoreinfo(std::string{kText} + "SIZE(printk_info)=88\nOFFSET(printk_info.seq)=8\n");
  ASSERT_TRUE(info);
  EXPECT_EQ(info->symbol("init_uts_ns"), 0xffffffff9261cc40U);
  EXPECT_EQ(info->size("printk_info"), 88U);
  EXPECT_EQ(info->offset("printk_info.seq"), 8U);
  EXPECT_FALSE(info->symbol("init_uts"));
  EXPECT_FALSE(info->size("printk_info.seq"));
  EXPECT_FALSE(info->offset("printk_info"));
}

TEST(Vmcoreinfo, TextOfAnAarch64Kernel_IsRead) {
  const auto info = parse_vmcoreinfo("OSRELEASE=6.1.0-56-cloud-arm64\nPAGESIZE=4096\n"
                                     "SYMBOL(swapper_pg_dir)=ffffa0b1c2d3e000\nNUMBER(VA_BITS)=48\n"
                                     "NUMBER(kimage_voffset)=0xffffa0b180000000\n"
                                     "NUMBER(TCR_EL1_T1SZ)=0x10\nKERNELOFFSET=20b1ba000000\n");
  ASSERT_TRUE(info);
  EXPECT_EQ(info->page_bytes, 4096U);
  EXPECT_EQ(info->kimage_voffset, 0xffffa0b180000000U);
  EXPECT_EQ(info->kaslr_offset, 0x20b1ba000000U);
  EXPECT_EQ(info->number("VA_BITS"), 48U);
  EXPECT_EQ(info->number("TCR_EL1_T1SZ"), 16U);
  EXPECT_FALSE(info->number("PHYS_OFFSET"));
  EXPECT_FALSE(info->phys_base);
}

TEST(Vmcoreinfo, NumbersThatAreNone_Absent) {
  const auto info = parse_vmcoreinfo("OSRELEASE=1\nSYMBOL(swapper_pg_dir)=ff\nNUMBER(phys_base)=--1\n"
                                     "SYMBOL(_stext)=12 \n");
  ASSERT_TRUE(info);
  EXPECT_FALSE(info->phys_base);
  EXPECT_FALSE(info->stext);
}

} // namespace
} // namespace vmemfs
