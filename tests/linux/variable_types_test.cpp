// SPDX-License-Identifier: MIT
#include "btf_builder.h"
#include "linux/symbols/variable_types.h"

#include <algorithm>
#include <gtest/gtest.h>

namespace vmemfs {
namespace {

TEST(VariableTypes, WholeTable_IsSortedWithoutDoubles_AndHasATypeEach) {
  const auto table = variable_types();
  ASSERT_GE(table.size(), 115U);
  EXPECT_EQ(std::ranges::adjacent_find(
                table, [](const VariableType& a, const VariableType& b) { return a.name >= b.name; }),
            table.end());
  for (const VariableType& line : table) {
    EXPECT_FALSE(line.type.empty()) << line.name;
    EXPECT_EQ(line.type.find_first_of("[]*"), std::string_view::npos) << line.name;
    EXPECT_EQ(line.name.find(' '), std::string_view::npos) << line.name;
  }
}

TEST(VariableTypes, LinesOfEachForm) {
  const auto expect_line = [](std::string_view name, std::string_view declarators, std::string_view type) {
    const VariableType* const line = variable_type(name);
    ASSERT_NE(line, nullptr) << name;
    EXPECT_EQ(line->declarators, declarators);
    EXPECT_EQ(line->type, type);
  };
  expect_line("init_task", "", "struct task_struct");
  expect_line("log_buf_len", "", "unsigned int");
  expect_line("pid_hash", "*", "struct hlist_head");
  expect_line("idt_table", "[", "struct gate_struct");
  expect_line("sys_call_table", "[*", "func");
  EXPECT_EQ(variable_type("no_such_variable"), nullptr);
}

TEST(VariableTypes, NamedType_OfThisKernel) {
  BtfBuilder builder;
  const auto number = builder.integer("unsigned int", 4);
  const auto task = builder.structure("task_struct", 8, {});
  const auto definition = builder.type_definition("pgd_t", builder.structure("", 8, {}));
  const auto types = btf::Types::parse(builder.bytes());
  ASSERT_TRUE(types) << types.error().message();
  EXPECT_EQ(named_type(**types, "unsigned int"), number);
  EXPECT_EQ(named_type(**types, "struct task_struct"), task);
  EXPECT_EQ(named_type(**types, "struct pgd_t"), definition);
  EXPECT_EQ(named_type(**types, "func"), btf::kVoid);
  EXPECT_EQ(named_type(**types, "struct absent"), std::nullopt);
}

} // namespace
} // namespace vmemfs
