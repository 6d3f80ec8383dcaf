// SPDX-License-Identifier: MIT
#include "linux/made_modules.h"
#include "linux/modules/module_list.h"

#include <cstdint>
#include <gtest/gtest.h>
#include <string>
#include <string_view>

namespace vmemfs {
namespace {

constexpr std::string_view kHeader = "NAME\tSIZE\tREFERENCES\tSTATE\tADDRESS\n";
constexpr std::string_view kBroken = " modules; the list changed while it was read, or is damaged\n";

std::string row(std::string_view name, std::string_view address, std::string_view state = "Live") {
  return std::string{name} + "\t16384\t1\t" + std::string{state} + "\t" + std::string{address} + "\n";
}

TEST(ModuleList, NoModuleLoaded_Complete) {
  MadeModules kernel;
  EXPECT_EQ(kernel.text(module_list), std::string{kHeader} + "# complete: 0 modules\n");
}

TEST(ModuleList, Modules_ARowEach) {
  MadeModules kernel;
  kernel.add("stp");
  kernel.add("bad\n\xff");
  EXPECT_EQ(kernel.text(module_list), std::string{kHeader} + row("stp", "0xffffffffc0008000") +
                                          row("bad\\x0a\\xff", "0xffffffffc0018000") +
                                          "# complete: 2 modules\n");
}

TEST(ModuleList, States_AreThoseOfTheKernel) {
  MadeModules kernel;
  for (std::uint32_t state = 0; state < 4; ++state) {
    kernel.add("m" + std::to_string(state));
    kernel.memory.write(MadeModules::module(state) + MadeModules::kState, state);
  }
  EXPECT_EQ(kernel.text(module_list), std::string{kHeader} + row("m0", "0xffffffffc0008000") +
                                          row("m1", "0xffffffffc0018000", "Loading") +
                                          row("m2", "0xffffffffc0028000", "Unloading") +
                                          "# complete: 3 modules\n")
      << "one that is not set up yet is not listed";
}

TEST(ModuleList, ListThatNeverEnds_SaidAsIncomplete) {
  MadeModules kernel;
  kernel.add("one");
  kernel.add("two");
  kernel.memory.write(MadeModules::module(1), MadeModules::module(0));
  EXPECT_TRUE(kernel.text(module_list).ends_with("# incomplete: 2" + std::string{kBroken}));
}

TEST(ModuleList, NameThatDoesNotEnd_NoRow) {
  MadeModules kernel;
  kernel.add("one");
  kernel.add(std::string(56, 'x'));
  EXPECT_EQ(kernel.text(module_list), std::string{kHeader} + row("one", "0xffffffffc0008000") +
                                          "# incomplete: 1" + std::string{kBroken});
}

TEST(ModuleList, ModuleThatCannotBeRead_SaidAsIncomplete) {
  MadeModules kernel;
  kernel.add("one");
  kernel.add("two");
  kernel.memory.unmap(MadeModules::module(1));
  EXPECT_TRUE(kernel.text(module_list).ends_with("# incomplete: 1" + std::string{kBroken}));
}

TEST(ModuleList, ModuleThatLeavesWhileItIsRead_OthersAreComplete) {
  MadeModules kernel;
  kernel.add("one");
  kernel.add("short");
  kernel.add("three");
  unsigned reads = 0;
  kernel.memory.before_read = [&](std::uint64_t address) {
    if (address == MadeModules::module(1) && ++reads == 1) {
      kernel.remove(1);
    }
  };
  EXPECT_EQ(kernel.text(module_list), std::string{kHeader} + row("one", "0xffffffffc0008000") +
                                          row("three", "0xffffffffc0028000") + "# complete: 2 modules\n");
}

TEST(ModuleList, KernelWithoutModules_SaysSo) {
  MadeModules kernel;
  kernel.has_modules = false;
  EXPECT_EQ(kernel.text(module_list), "error: the kernel's symbols do not have modules; it may have none");
}

TEST(ModuleList, TypesWithoutTheStructure_SayWhich) {
  MadeModules kernel;
  kernel.structures = BtfBuilder{}.bytes();
  EXPECT_EQ(kernel.text(module_list), "error: the kernel's types do not have struct module in a known form");
}

} // namespace
} // namespace vmemfs
