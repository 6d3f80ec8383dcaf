// SPDX-License-Identifier: MIT
#include "linux/made_modules.h"
#include "linux/modules/module_symbols.h"

#include <cstdint>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <string>
#include <string_view>

namespace vmemfs {
namespace {

using testing::HasSubstr;
using testing::StartsWith;

constexpr std::string_view kBroken = " modules; the list changed while it was read, or is damaged\n";

/// A module with a function that it exports and one that it does not, and what they give.
void add_usual(MadeModules& kernel, std::string_view name) {
  kernel.add(name, {{0xffffffffc0008000, 't', "inner"}, {0xffffffffc0008010, 'T', "outer", true}});
}
std::string usual(std::string_view name) {
  const std::string end = "\t[" + std::string{name} + "]\n";
  return "ffffffffc0008000 t inner" + end + "ffffffffc0008010 T outer" + end;
}

TEST(ModuleSymbols, Modules_SymbolsAsInProcKallsyms) {
  MadeModules kernel;
  add_usual(kernel, "one");
  kernel.add("two", {{0x10, 'T', "global_but_not_exported"}, {0x20, 'b', "variable", true}});
  EXPECT_EQ(kernel.text(module_symbols), usual("one") + "0000000000000010 t global_but_not_exported\t[two]\n"
                                                        "0000000000000020 B variable\t[two]\n");
}

TEST(ModuleSymbols, SameAddressOfAnExport_OnlyTheExportedNameIsUpperCase) {
  MadeModules kernel;
  kernel.add("one", {{0x10, 'T', "init_module"}, {0x10, 'T', "init", true}});
  EXPECT_EQ(kernel.text(module_symbols),
            "0000000000000010 t init_module\t[one]\n0000000000000010 T init\t[one]\n");
}

TEST(ModuleSymbols, KernelBeforeLetterTables_LettersOfTheSymbols) {
  MadeModules kernel;
  kernel.structures = MadeModules::made_structures(false);
  add_usual(kernel, "one");
  kernel.memory.write_text(MadeModules::letters(0), "???");
  EXPECT_EQ(kernel.text(module_symbols), usual("one"));
}

TEST(ModuleSymbols, NamesOfAnyBytes_LinesStayWhole) {
  MadeModules kernel;
  kernel.add("bad\n", {{0x10, '\n', "a\nb"}});
  EXPECT_EQ(kernel.text(module_symbols), "0000000000000010 ? a\\x0ab\t[bad\\x0a]\n");
}

TEST(ModuleSymbols, LongName_CutAsInProcKallsyms) {
  MadeModules kernel;
  kernel.add("one", {{0x10, 't', std::string(600, 'x')}});
  EXPECT_EQ(kernel.text(module_symbols), "0000000000000010 t " + std::string(511, 'x') + "\t[one]\n");
}

TEST(ModuleSymbols, KernelWithoutModules_Nothing) {
  MadeModules kernel;
  EXPECT_EQ(kernel.text(module_symbols), "") << "none is loaded";
  kernel.has_modules = false;
  EXPECT_EQ(kernel.text(module_symbols), "");
}

TEST(ModuleSymbols, TypesThatLackSomething_SaidInTheText) {
  MadeModules kernel;
  kernel.structures = BtfBuilder{}.bytes();
  EXPECT_EQ(kernel.text(module_symbols),
            "# incomplete: without the symbols of modules: the kernel's types do not have struct module in a "
            "known form\n");
}

TEST(ModuleSymbols, TablesThatCannotBeRead_OthersAndTheReason) {
  for (const std::uint64_t page : {MadeModules::tables(1), MadeModules::symbols(1), MadeModules::letters(1),
                                   MadeModules::names(1), MadeModules::exports(1)}) {
    MadeModules kernel;
    add_usual(kernel, "one");
    add_usual(kernel, "two");
    kernel.memory.unmap(page);
    EXPECT_EQ(kernel.text(module_symbols),
              usual("one") + "# incomplete: with the symbols of 1" + std::string{kBroken});
  }
}

TEST(ModuleSymbols, CountsBeyondReason_NothingOfThem) {
  for (const std::uint64_t count :
       {MadeModules::tables(0) + 8, MadeModules::module(0) + MadeModules::kExportCount}) {
    MadeModules kernel;
    add_usual(kernel, "one");
    kernel.memory.write(count, std::uint32_t{0xffffffff});
    EXPECT_THAT(kernel.text(module_symbols), StartsWith("# incomplete: with the symbols of 0 modules"));
  }
}

TEST(ModuleSymbols, NameBeyondTheTable_NothingOfTheModule) {
  MadeModules kernel;
  add_usual(kernel, "one");
  for (const std::uint32_t offset : {0x2000U, 0x7fffffffU}) {
    kernel.memory.write(MadeModules::symbols(0) + 24, offset);
    EXPECT_THAT(kernel.text(module_symbols), StartsWith("# incomplete: with the symbols of 0 modules"));
  }
}

TEST(ModuleSymbols, ModuleThatLeavesWhileItsTablesAreRead_OthersAreComplete) {
  MadeModules kernel;
  add_usual(kernel, "one");
  add_usual(kernel, "short");
  unsigned reads = 0;
  kernel.memory.before_read = [&](std::uint64_t address) {
    if (address == MadeModules::names(1) && ++reads == 1) {
      kernel.remove(1);
    }
  };
  EXPECT_EQ(kernel.text(module_symbols), usual("one"));
  EXPECT_EQ(reads, 1U);
}

TEST(ModuleSymbols, ModuleThatIsLoadedMeanwhile_TablesOfTheEnd) {
  MadeModules kernel;
  kernel.add("one", {{0x10, 't', "init"}, {0x20, 't', "stays"}});
  kernel.add("two", {{0x20, 't', "stays"}});
  kernel.remove(1); // leaves tables of its own
  unsigned reads = 0;
  kernel.memory.before_read = [&](std::uint64_t address) {
    if (address == MadeModules::names(0) && ++reads == 1) {
      kernel.memory.write(MadeModules::module(0) + MadeModules::kTables, MadeModules::tables(1));
    }
  };
  EXPECT_EQ(kernel.text(module_symbols), "0000000000000020 t stays\t[one]\n");
}

TEST(ModuleSymbols, TextWithoutEnd_Bounded) {
  MadeModules kernel;
  // All symbols have the longest name.
  kernel.add("one", {{0x10, 't', std::string(500, 'x')}});
  constexpr std::uint32_t kCount = 100'000;
  kernel.memory.write(MadeModules::tables(0), MadeModules::symbols(0x200));
  kernel.memory.write(MadeModules::tables(0) + 8, kCount);
  std::string symbols;
  const std::string one{"\1\0\0\0t\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0", 24};
  for (std::uint32_t i = 0; i < kCount; ++i) {
    symbols += one;
  }
  kernel.memory.write_text(MadeModules::symbols(0x200), symbols);
  kernel.memory.write(MadeModules::tables(0) + 24, MadeModules::module(0x300));
  kernel.memory.write_text(MadeModules::module(0x300), std::string(kCount, 't'));
  const std::string text = kernel.text(module_symbols);
  EXPECT_LE(text.size(), kMaxModuleSymbols);
  EXPECT_THAT(text, HasSubstr("# incomplete: with the symbols of 0 modules; those of all are too large\n"));
}

} // namespace
} // namespace vmemfs
