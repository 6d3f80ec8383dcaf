// SPDX-License-Identifier: MIT
#include "image_memory.h"
#include "kallsyms_builder.h"
#include "linux/symbols/kallsyms.h"

#include <gtest/gtest.h>
#include <utility>

namespace vmemfs {
namespace {

using test::ImageMemory;
using test::KallsymsBuilder;
using test::KallsymsLayout;
using test::MadeSymbol;

Result<std::shared_ptr<const KernelSymbols>> read_image(KallsymsBuilder builder) {
  const KernelImageRange image{KallsymsBuilder::kImage, builder.end()};
  ImageMemory memory{KallsymsBuilder::kImage, std::move(builder.bytes())};
  return read_kallsyms(memory, image);
}

bool has_per_cpu(KallsymsLayout layout) { return layout <= KallsymsLayout::v6_12; }

std::string layout_name(const testing::TestParamInfo<KallsymsLayout>& tested) {
  switch (tested.param) {
  case KallsymsLayout::v5_10: return "v5_10";
  case KallsymsLayout::v6_1: return "v6_1";
  case KallsymsLayout::v6_12: return "v6_12";
  case KallsymsLayout::v6_18: return "v6_18";
  case KallsymsLayout::v7_0: return "v7_0";
  }
  return "";
}

/// One byte of length has no longer names.
std::vector<MadeSymbol> symbols_of(KallsymsLayout layout) {
  auto symbols = test::many_symbols(has_per_cpu(layout));
  if (layout == KallsymsLayout::v5_10) {
    symbols.back().name.resize(100);
  }
  return symbols;
}

class Kallsyms : public testing::TestWithParam<KallsymsLayout> {};

TEST_P(Kallsyms, ImageWithTables_GivesAllSymbols) {
  const auto expected = symbols_of(GetParam());
  const auto symbols = read_image(KallsymsBuilder{GetParam(), expected});
  ASSERT_TRUE(symbols) << symbols.error().message();
  const auto all = (*symbols)->all();
  ASSERT_EQ(all.size(), expected.size());
  for (std::size_t i = 0; i < all.size(); ++i) {
    ASSERT_EQ(all[i].address, expected[i].address) << i;
    ASSERT_EQ(all[i].name, expected[i].name);
    ASSERT_EQ(all[i].type, expected[i].type);
  }
}

TEST_P(Kallsyms, CopyWithoutIndexBefore_IsPassedOver) {
  auto expected = symbols_of(GetParam());
  KallsymsBuilder wrong{GetParam(), expected};
  wrong.bytes()[wrong.index() + 100] ^= std::byte{1};
  KallsymsBuilder right{GetParam(), expected};
  std::vector<std::byte> both = wrong.bytes();
  // The right one lies where its addresses say; the wrong one is before it.
  const std::uint64_t begin = KallsymsBuilder::kImage - both.size();
  both.insert(both.end(), right.bytes().begin(), right.bytes().end());
  const KernelImageRange image{begin, begin + both.size()};
  ImageMemory memory{begin, std::move(both)};
  const auto symbols = read_kallsyms(memory, image);
  ASSERT_TRUE(symbols) << symbols.error().message();
  EXPECT_EQ((*symbols)->all().size(), expected.size());
}

TEST_P(Kallsyms, MarkerThatDoesNotFit_IsNotFound) {
  KallsymsBuilder builder{GetParam(), symbols_of(GetParam())};
  builder.bytes()[builder.markers() + 4] ^= std::byte{1};
  const auto symbols = read_image(std::move(builder));
  ASSERT_FALSE(symbols);
  EXPECT_EQ(symbols.error().kind, ErrorKind::no_data);
}

INSTANTIATE_TEST_SUITE_P(Layouts, Kallsyms,
                         testing::Values(KallsymsLayout::v5_10, KallsymsLayout::v6_1, KallsymsLayout::v6_12,
                                         KallsymsLayout::v6_18, KallsymsLayout::v7_0),
                         layout_name);

TEST(KallsymsOfNothing, ImageOfZeros_IsNotFound) {
  ImageMemory memory{KallsymsBuilder::kImage, std::vector<std::byte>(1U << 20U)};
  EXPECT_FALSE(read_kallsyms(memory, {KallsymsBuilder::kImage, KallsymsBuilder::kImage + (1U << 20U)}));
}

TEST(KallsymsOfNothing, ImageThatCannotBeRead_IsNotFound) {
  ImageMemory memory{0, {}};
  EXPECT_FALSE(read_kallsyms(memory, {KallsymsBuilder::kImage, KallsymsBuilder::kImage + kMaxKernelImage}));
}

TEST(KernelSymbols, FindsGlobalBeforeLocal_AndNoneOfSeveralLocal) {
  const auto symbols = read_image(KallsymsBuilder{KallsymsLayout::v6_12, test::many_symbols(true)});
  ASSERT_TRUE(symbols);
  EXPECT_EQ((*symbols)->find("mixed"), KallsymsBuilder::kImage + 0x1'0030);
  EXPECT_EQ((*symbols)->find("twice"), std::nullopt);
  EXPECT_EQ((*symbols)->find("_text"), KallsymsBuilder::kImage);
  EXPECT_EQ((*symbols)->find("cpu_number"), 0x1f000);
  EXPECT_EQ((*symbols)->find("absent"), std::nullopt);
  EXPECT_TRUE((*symbols)->all().front().absolute());
  EXPECT_FALSE((*symbols)->all().back().absolute());
}

} // namespace
} // namespace vmemfs
