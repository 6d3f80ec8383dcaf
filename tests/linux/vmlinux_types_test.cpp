// SPDX-License-Identifier: MIT
// Types, functions and variables of a made vmlinux, read back with gdb.
#include "linux/small_kernel.h"
#include "linux/vmlinux/vmlinux.h"
#include "support/child_process.h"
#include "support/files.h"

#include <cstdint>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <string>
#include <string_view>
#include <vector>

namespace vmemfs::test {
namespace {

using btf::Kind;
using testing::HasSubstr;
using testing::Not;

/// The output of gdb's commands, spaces at the ends of lines left out.
std::string gdb(const SmallKernel& kernel, const std::vector<std::string>& commands) {
  const TempDir directory;
  write_file(directory / "vmlinux", kernel.content(kernel.make()));
  std::vector<std::string> args{"gdb", "-q", "-nx", "-batch"};
  for (const std::string& command : commands) {
    args.insert(args.end(), {"-ex", command});
  }
  args.push_back(directory / "vmlinux");
  const RunResult result = run(args);
  EXPECT_EQ(result.code, 0) << result.text;
  return result.text;
}

TEST(VmlinuxTypes, Structure_HasItsMembersWhereTheyAre) {
  SmallKernel kernel;
  auto& btf = kernel.btf;
  const auto number = btf.integer("int", 4, BtfBuilder::kSigned);
  const auto character = btf.integer("char", 1, BtfBuilder::kSigned);
  const auto words = btf.array(number, 3, number);
  const auto inner =
      btf.union_type("", 8, {{"whole", btf.integer("unsigned long", 8), 0}, {"half", number, 0}});
  const auto self = btf.next() + 1;
  const auto next = btf.pointer(self);
  btf.structure("node", 48,
                {{"next", next, 0},
                 {"words", words, 64},
                 {"low", number, 160, 3},
                 {"high", number, 163, 5},
                 {"name", btf.next() + 1, 192},
                 {"", inner, 320}});
  btf.array(character, 16, number);
  const std::string text =
      gdb(kernel, {"ptype struct node", "p sizeof(struct node)", "p (long) &((struct node *) 0)->words[1]",
                   "p (long) &((struct node *) 0)->half", "p sizeof(((struct node *) 0)->name)"});
  EXPECT_THAT(text, HasSubstr("type = struct node {\n"
                              "    struct node *next;\n"
                              "    int words[3];\n"
                              "    int low : 3;\n"
                              "    int high : 5;\n"
                              "    char name[16];\n"
                              "    union {\n"
                              "        unsigned long whole;\n"
                              "        int half;\n"
                              "    };\n"
                              "}\n"));
  EXPECT_THAT(text, HasSubstr("$1 = 48\n"));
  EXPECT_THAT(text, HasSubstr("$2 = 12\n"));
  EXPECT_THAT(text, HasSubstr("$3 = 40\n"));
  EXPECT_THAT(text, HasSubstr("$4 = 16\n"));
}

TEST(VmlinuxTypes, Enumerations_HaveTheirValues) {
  SmallKernel kernel;
  kernel.btf.enumeration("color", 4, false, {{"RED", 0}, {"LAST", 0xffff'ffff}});
  kernel.btf.enumeration("sign", 4, true, {{"BELOW", ~std::uint64_t{0}}, {"ABOVE", 1}});
  kernel.btf.enumeration64("wide", false, {{"HUGE", 0x1234'5678'9abc'def0}});
  const std::string text =
      gdb(kernel, {"p/x (unsigned) LAST", "p (int) BELOW", "p/x HUGE", "p sizeof(enum wide)"});
  EXPECT_THAT(text, HasSubstr("$1 = 0xffffffff\n$2 = -1\n$3 = 0x123456789abcdef0\n$4 = 8\n"));
}

TEST(VmlinuxTypes, NamesQualifiersAndDeclarations_AreKept) {
  SmallKernel kernel;
  auto& btf = kernel.btf;
  const auto truth = btf.integer("_Bool", 1, BtfBuilder::kBool);
  const auto tagged = btf.reference(Kind::type_tag, truth, "user");
  const auto constant = btf.reference(Kind::const_type, btf.pointer(tagged));
  btf.type_definition("flag_pointer", btf.reference(Kind::volatile_type, constant));
  btf.type_definition("hidden_pointer", btf.pointer(btf.forward("hidden")));
  btf.type_definition("nothing", btf::kVoid);
  btf.type_definition("callback", btf.pointer(btf.prototype(btf::kVoid, {{"", truth}, {"", btf::kVoid}})));
  const std::string text =
      gdb(kernel, {"ptype flag_pointer", "ptype hidden_pointer", "ptype nothing", "ptype callback"});
  EXPECT_THAT(text, HasSubstr("type = _Bool * const volatile\n"
                              "type = struct hidden {\n    <incomplete type>\n} *\n"
                              "type = void\n"
                              "type = void (*)(_Bool, ...)\n"));
}

TEST(VmlinuxTypes, DefinitionsInACircle_EndForTheTool) {
  SmallKernel kernel;
  const auto first = kernel.btf.next();
  kernel.btf.type_definition("circle", first + 1);
  kernel.btf.reference(Kind::const_type, first);
  EXPECT_THAT(gdb(kernel, {"whatis circle", "ptype circle"}), HasSubstr("type = void\ntype = void\n"));
}

TEST(VmlinuxTypes, Functions_HaveParametersAndAddresses) {
  SmallKernel kernel;
  auto& btf = kernel.btf;
  const auto number = btf.integer("int", 4, BtfBuilder::kSigned);
  const auto prototype =
      btf.prototype(number, {{"file", btf.pointer(btf.forward("file"))}, {"flags", number}});
  btf.reference(Kind::function, prototype, "open_file");
  btf.reference(Kind::function, prototype, "twice");
  btf.reference(Kind::function, prototype, "in_no_table");
  const std::string text = gdb(kernel, {"whatis open_file", "info address open_file",
                                        "info symbol 0xffffffff8100017f", "info functions -n"});
  EXPECT_THAT(text, HasSubstr("type = int (struct file *, int)\n"));
  EXPECT_THAT(text, HasSubstr("Symbol \"open_file\" is a function at address 0xffffffff81000100.\n"));
  EXPECT_THAT(text, HasSubstr("open_file + 127 in section .text\n"));
  EXPECT_THAT(text, HasSubstr("int open_file(struct file *, int);\n"));
  EXPECT_THAT(text, Not(HasSubstr("twice(")));
  EXPECT_THAT(text, Not(HasSubstr("in_no_table(")));
}

TEST(VmlinuxTypes, Variables_AreOfBtfOrOfTheTable_AndReadTheGuestsMemory) {
  SmallKernel kernel;
  auto& btf = kernel.btf;
  const auto number = btf.integer("int", 4, BtfBuilder::kSigned);
  const auto character = btf.integer("char", 1, BtfBuilder::kSigned);
  btf.section(".data..percpu", 0x80, {{btf.variable("this_cpu", number), 0x40, 4}});
  btf.structure("task_struct", 48, {{"pid", number, 0}, {"comm", btf.array(character, 16, number), 64}});
  using namespace std::string_view_literals;
  kernel.put(SmallKernel::kLinked + 0x6010, "\x2a\0\0\0pad.swapper/0\0\0\0\0\0\0\0"sv);
  kernel.put(SmallKernel::kLinked + 0x2000, "Linux version 0\n\0"sv);
  const std::string text = gdb(kernel, {"p init_task", "p &init_task", "p &this_cpu", "whatis linux_banner",
                                        "p (char *) &linux_banner"});
  EXPECT_THAT(text, HasSubstr("$1 = {pid = 42, comm = \"swapper/0\\000\\000\\000\\000\\000\\000\"}\n"));
  EXPECT_THAT(text, HasSubstr("$2 = (struct task_struct *) 0xffffffff81006010 <init_task>\n"));
  EXPECT_THAT(text, HasSubstr("$3 = (int *) 0x40 <this_cpu>\n"));
  EXPECT_THAT(text, HasSubstr("type = char [6768]\n")); // up to the next symbol
  EXPECT_THAT(text, HasSubstr("\"Linux version 0\\n\""));
}

} // namespace
} // namespace vmemfs::test
