// SPDX-License-Identifier: MIT
#include "linux/made_modules.h"
#include "linux/modules/module_types.h"

#include <algorithm>
#include <cstddef>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace vmemfs {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

/// Types that continue those of the made kernel.
std::vector<std::byte> module_bytes(std::string_view structure) {
  BtfBuilder kernel;
  MadeModules::add_structures(kernel);
  BtfBuilder module{kernel};
  module.structure(structure, 16, {{"list", 6, 0}});
  return module.bytes();
}

std::vector<std::string> names(MadeModules& kernel) {
  const auto listed = kernel.with(list_module_types);
  std::vector<std::string> found;
  for (const ModuleTypes& types : listed.value()) {
    found.push_back(types.name);
  }
  return found;
}

Result<std::shared_ptr<const btf::Types>> read(MadeModules& kernel, std::string_view name) {
  return kernel.with([&](const RunningKernel& running) {
    return read_module_types(running, name, *btf::Types::parse(kernel.structures));
  });
}

std::string error(MadeModules& kernel, std::string_view name) {
  const auto types = read(kernel, name);
  return types ? "none" : types.error().text;
}

TEST(ModuleTypes, Modules_ListedInTheKernelsOrder) {
  MadeModules kernel;
  EXPECT_THAT(names(kernel), IsEmpty());
  kernel.add_types("llc", module_bytes("a"));
  kernel.add_types("stp", module_bytes("b"));
  EXPECT_THAT(names(kernel), ElementsAre("stp", "llc"));
}

TEST(ModuleTypes, Module_ItsBytesAndTypes) {
  MadeModules kernel;
  kernel.add_types("llc", module_bytes("llc_sap"));
  const auto types = read(kernel, "llc");
  ASSERT_TRUE(types) << types.error().text;
  EXPECT_TRUE(std::ranges::equal((*types)->bytes(), module_bytes("llc_sap")));
  EXPECT_TRUE((*types)->find(btf::Kind::structure, "llc_sap"));
  EXPECT_TRUE((*types)->find(btf::Kind::structure, "list_head")) << "of the kernel";
}

TEST(ModuleTypes, NamesThatAreNoFileNames_LeftOut) {
  MadeModules kernel;
  for (const char* const name : {"", ".", "..", "a/b", "vmlinux", "a b", "a\nb", "\xff", "good", "good"}) {
    kernel.add_types(name, module_bytes("a"));
  }
  EXPECT_THAT(names(kernel), ElementsAre("good"));
  EXPECT_TRUE(is_module_file_name(std::string(55, 'x')));
  EXPECT_FALSE(is_module_file_name(std::string(56, 'x')));
}

TEST(ModuleTypes, SizesBeyondTheLimit_LeftOut) {
  MadeModules kernel;
  kernel.add_types("small", module_bytes("a"));
  kernel.add_types("large", module_bytes("b"));
  kernel.add_types("none", module_bytes("c"));
  const std::uint64_t large = kernel.types_elements()[1] + 0x108;
  kernel.memory.write(large, static_cast<std::uint32_t>(kMaxModuleTypes));
  kernel.memory.write(kernel.types_elements()[0] + 0x108, std::uint32_t{0});
  EXPECT_THAT(names(kernel), ElementsAre("large"));
  EXPECT_THAT(error(kernel, "large"), HasSubstr("not in memory"));
  kernel.memory.write(large, static_cast<std::uint32_t>(kMaxModuleTypes + 1));
  EXPECT_THAT(names(kernel), ElementsAre("small"));
}

TEST(ModuleTypes, ListThatNeverEnds_Bounded) {
  MadeModules kernel;
  kernel.add_types("one", module_bytes("a"));
  kernel.add_types("two", module_bytes("b"));
  kernel.memory.write(kernel.types_elements()[1], kernel.types_elements()[0]);
  EXPECT_THAT(names(kernel), ElementsAre("two", "one"));
}

TEST(ModuleTypes, ModuleThatIsNotLoaded_SaysSo) {
  MadeModules kernel;
  EXPECT_EQ(error(kernel, "llc"), "cannot read the types of module llc: it is not loaded now");
  kernel.has_modules = false;
  EXPECT_THAT(error(kernel, "llc"), HasSubstr("not loaded now"));
}

TEST(ModuleTypes, ModuleThatLeavesWhileItIsRead_NoData) {
  MadeModules kernel;
  kernel.add_types("llc", module_bytes("a"));
  kernel.memory.before_read = [&, data = kernel.types_elements()[0] + 0x1000](std::uint64_t address) {
    if (address == data) {
      kernel.remove_types(0);
    }
  };
  EXPECT_THAT(error(kernel, "llc"), HasSubstr("not loaded now"));
}

TEST(ModuleTypes, DamagedTypes_NoData) {
  MadeModules kernel;
  kernel.add_types("llc", module_bytes("a"));
  kernel.memory.write(kernel.types_elements()[0] + 0x1000, std::uint32_t{0});
  const auto types = read(kernel, "llc");
  ASSERT_FALSE(types);
  EXPECT_EQ(types.error().kind, ErrorKind::no_data);
}

TEST(ModuleTypes, KernelTypesThatLackSomething_SayWhich) {
  MadeModules kernel;
  kernel.structures = BtfBuilder{}.bytes();
  EXPECT_EQ(error(kernel, "llc"), "the kernel's types do not have struct btf_module in a known form");
}

} // namespace
} // namespace vmemfs
