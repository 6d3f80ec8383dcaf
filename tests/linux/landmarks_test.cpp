// SPDX-License-Identifier: MIT
#include "linux/landmarks/image_search.h"
#include "linux/landmarks/landmarks.h"
#include "linux/made_kernel.h"

#include <algorithm>
#include <cstdint>
#include <gtest/gtest.h>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace vmemfs {
namespace {

using namespace std::string_view_literals;

constexpr std::uint64_t kBegin = 0xffff800008000000;
constexpr KernelImageRange kImage{kBegin, kBegin + (std::uint64_t{4} << 20U)};

class Landmarks : public testing::Test {
protected:
  /// Pages of zeros.
  Landmarks() { memory.write_text(kImage.begin, std::string(kImage.end - kImage.begin, '\0')); }

  [[nodiscard]] std::vector<std::uint64_t> places(std::string_view bytes) {
    std::vector<std::uint64_t> found;
    for_each_place(memory, kImage, bytes, [&](std::uint64_t address) {
      found.push_back(address);
      return false;
    });
    return found;
  }
  void write_idle_task(std::uint64_t address, std::string_view name) {
    using Task = Made::Task;
    memory.write_text(address, std::string(Task::kBytes, '\0'));
    memory.write_text(address + Task::kComm, name);
    memory.write(address + Task::kRealParent, address);
    memory.write(address + Task::kGroupLeader, address);
  }

  MadeMemory memory;
  std::shared_ptr<const btf::Types> types = Made::types();
};

TEST_F(Landmarks, PlacesAcrossPiecesAndBehindHoles_AreFoundOnce) {
  constexpr std::uint64_t kMiB = std::uint64_t{1} << 20U;
  const std::vector<std::uint64_t> all{kBegin, kBegin + kMiB - 3, kBegin + 2 * kMiB + 0x1000, kImage.end - 6};
  for (const std::uint64_t address : all) {
    memory.write_text(address, "needle");
  }
  memory.unmap(kBegin + 2 * kMiB);
  EXPECT_EQ(places("needle"), all);
}

TEST_F(Landmarks, Banner_IsTheFirstLineOfThisBuild) {
  memory.write_text(kBegin + 0x100, "Linux version 6.1.0 (log) without an end\0"sv);
  memory.write_text(kBegin + 0x200, "Linux version 6.1.0-56 (other)\n\0"sv);
  memory.write_text(kBegin + 0x280, "Linux version 6.1.0 (it) #\n\0"sv);
  memory.write_text(kBegin + 0x300, "Linux version 6.1.0 (it) #1\n\0"sv);
  memory.write_text(kBegin + 0x400, "Linux version 6.1.0 (copy) #1\n\0"sv);
  EXPECT_EQ(find_banner(memory, kImage, {"6.1.0", "#1"}), kBegin + 0x300);
  EXPECT_EQ(find_banner(memory, kImage, {"6.1.1", "#1"}), std::nullopt);
}

TEST_F(Landmarks, SystemNames_AreThoseOfVmcoreinfo) {
  const auto info = parse_vmcoreinfo("OSRELEASE=6.1.0\nSYMBOL(swapper_pg_dir)=ffff800008001000\n"
                                     "SYMBOL(init_uts_ns)=ffff800008000800\n");
  ASSERT_TRUE(info);
  EXPECT_FALSE(system_names(memory, *info));
  const std::uint64_t names = kBegin + 0x804;
  memory.write_text(names, "Linux");
  memory.write_text(names + 65, "host");
  memory.write_text(names + 130, "6.1.0");
  memory.write_text(names + 195, "#1 SMP");
  const auto found = system_names(memory, *info);
  ASSERT_TRUE(found);
  EXPECT_EQ(found->release, "6.1.0");
  EXPECT_EQ(found->version, "#1 SMP");
}

TEST_F(Landmarks, Types_AreTheFirstThatAreRight) {
  EXPECT_FALSE(find_types(memory, kImage));
  const auto bytes = types->bytes();
  memory.write_bytes(kBegin + 0x1000, bytes.first(24)); // a header with other content
  memory.write_bytes(kBegin + 0x8002, bytes);
  EXPECT_FALSE(find_types(memory, kImage)) << "not aligned";
  memory.write_bytes(kBegin + 0x20000, bytes);
  const auto found = find_types(memory, kImage);
  ASSERT_TRUE(found);
  EXPECT_TRUE(std::ranges::equal((*found)->bytes(), bytes));
}

TEST_F(Landmarks, IdleTask_IsTheOnlyOne) {
  const auto layout = task_layout(*types);
  ASSERT_TRUE(layout);
  EXPECT_EQ(find_idle_task(memory, kImage, *layout), std::nullopt);
  memory.write_text(kBegin + 0x500, "swapper/0\0"sv);
  write_idle_task(kBegin + 0x2000, "swapper/0");
  EXPECT_EQ(find_idle_task(memory, kImage, *layout), kBegin + 0x2000);
  write_idle_task(kBegin + 0x3000, "swapper");
  EXPECT_EQ(find_idle_task(memory, kImage, *layout), kBegin + 0x2000) << "the name of a kernel for one CPU";
  write_idle_task(kBegin + 0x4000, "swapper/0");
  EXPECT_EQ(find_idle_task(memory, kImage, *layout), std::nullopt) << "nobody knows which";
}

TEST_F(Landmarks, IdleTaskOfOneCpu_IsFound) {
  const auto layout = task_layout(*types);
  write_idle_task(kBegin + 0x3000, "swapper");
  EXPECT_EQ(find_idle_task(memory, kImage, *layout), kBegin + 0x3000);
  memory.write(kBegin + 0x3000 + Made::Task::kPid, std::uint32_t{1});
  EXPECT_EQ(find_idle_task(memory, kImage, *layout), std::nullopt);
}

TEST_F(Landmarks, Pointer_IsAnAlignedOne) {
  constexpr std::uint64_t kTarget = 0xffff000001234000;
  memory.write(kBegin + 0x103, kTarget);
  EXPECT_EQ(find_pointer(memory, kImage, kTarget), std::nullopt);
  memory.write(kBegin + 0x208, kTarget);
  EXPECT_EQ(find_pointer(memory, kImage, kTarget), kBegin + 0x208);
}

TEST_F(Landmarks, SymbolsOfCodeAlone_AreRecognized) {
  const KernelSymbols code{{{kBegin, 6, 'T'}, {kBegin + 8, 12, 't'}}, "_stextcommit"};
  EXPECT_FALSE(names_data(code));
  const KernelSymbols all{{{kBegin, 9, 'D'}}, "init_task"};
  EXPECT_TRUE(names_data(all));
}

} // namespace
} // namespace vmemfs
