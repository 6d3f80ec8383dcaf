// SPDX-License-Identifier: MIT
// Whether Volatility 3 takes an ISF is a test of its own: tests/e2e/linux. It needs the sources of
// Volatility, which VMEMFS_VOLATILITY names, and is skipped without.
#include "linux/btf_builder.h"
#include "linux/isf/isf.h"

#include <algorithm>
#include <cstdint>
#include <gtest/gtest.h>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <vector>

namespace vmemfs {
namespace {

using namespace std::string_view_literals;
using btf::Kind;
using Json = nlohmann::json;

constexpr std::uint64_t kOffset = 0x0fc00000;
constexpr std::uint64_t kText = 0xffffffff81000000 + kOffset;
constexpr auto kBanner = "Linux version 6.1\n\0"sv;

struct Symbol {
  std::string_view name;
  std::uint64_t address;
  char type = 'D';
};

std::unique_ptr<KernelSymbols> symbols_of(const std::vector<Symbol>& list) {
  std::vector<KernelSymbols::Entry> entries;
  std::string names;
  for (const Symbol& symbol : list) {
    names += symbol.name;
    entries.push_back({symbol.address, static_cast<std::uint32_t>(names.size()), symbol.type});
  }
  return std::make_unique<KernelSymbols>(std::move(entries), std::move(names));
}

std::string text_of(const BtfBuilder& btf, const std::vector<Symbol>& symbols = {}) {
  const auto types = btf::Types::parse(btf.bytes());
  EXPECT_TRUE(types) << types.error().text;
  const auto text =
      isf_text(*symbols_of(symbols), **types,
               {.banner = kBanner, .kaslr_offset = kOffset, .release = "6.1", .producer_version = "1"});
  EXPECT_TRUE(text) << text.error().text;
  return *text;
}

Json isf_of(const BtfBuilder& btf, const std::vector<Symbol>& symbols = {}) {
  return Json::parse(text_of(btf, symbols));
}

Json base(std::string_view name) { return {{"kind", "base"}, {"name", name}}; }
Json structure(std::string_view name) { return {{"kind", "struct"}, {"name", name}}; }
Json pointer(const Json& to) { return {{"kind", "pointer"}, {"subtype", to}}; }
Json array(std::uint64_t count, const Json& of) {
  return {{"kind", "array"}, {"count", count}, {"subtype", of}};
}
Json field(std::uint64_t offset, const Json& type) { return {{"offset", offset}, {"type", type}}; }

TEST(Isf, Metadata_AsTheSchemaHasIt) {
  const Json expected = {{"linux",
                          {{"symbols", {{{"kind", "symtab"}, {"name", "6.1"}}}},
                           {"types", {{{"kind", "dwarf"}, {"name", "6.1"}}}}}},
                         {"producer", {{"name", "vmemfs"}, {"version", "1"}}},
                         {"format", "6.2.0"}};
  const Json isf = isf_of({});
  EXPECT_EQ(isf["metadata"], expected);
  EXPECT_EQ(isf.size(), 5U);
  EXPECT_EQ(isf["user_types"], Json::object());
  EXPECT_EQ(isf["enums"], Json::object());
  EXPECT_EQ(isf["symbols"], Json::object());
}

TEST(Isf, BaseTypes_OfTheKernelAndTheUsualOnes) {
  BtfBuilder btf;
  btf.integer("long unsigned int", 8);
  btf.integer("unsigned long", 8);
  btf.integer("_Bool", 1, BtfBuilder::kBool);
  btf.integer("char", 1);
  btf.integer("__int128", 16, BtfBuilder::kSigned);
  btf.floating("double", 8);
  const Json types = isf_of(btf)["base_types"];
  const auto type = [](std::size_t size, bool is_signed, std::string_view kind) {
    return Json{{"size", size}, {"signed", is_signed}, {"kind", kind}, {"endian", "little"}};
  };
  EXPECT_EQ(types["pointer"], type(8, false, "int"));
  EXPECT_EQ(types["void"], type(0, false, "void"));
  EXPECT_EQ(types["long unsigned int"], type(8, false, "int"));
  EXPECT_EQ(types["unsigned long"], type(8, false, "int"));
  EXPECT_EQ(types["_Bool"], type(1, false, "bool"));
  EXPECT_EQ(types["char"], type(1, false, "char")) << "as the kernel says, not as usual";
  EXPECT_EQ(types["__int128"], type(16, true, "int"));
  EXPECT_EQ(types["double"], type(8, true, "float"));
  EXPECT_EQ(types["long long int"], type(8, true, "int"));
  EXPECT_EQ(types.size(), 17U) << "13 usual ones and 4 more";
}

TEST(Isf, Fields_OfEveryType) {
  BtfBuilder btf;
  const auto number = btf.integer("int", 4, BtfBuilder::kSigned);
  const auto constant = btf.reference(Kind::const_type, btf.type_definition("s32", number));
  const auto later = btf.forward("later");
  const auto function = btf.prototype(number, {});
  const auto state = btf.enumeration("state", 4, true, {{"gone", static_cast<std::uint64_t>(-1)}, {"up", 1}});
  const auto choice = btf.union_type("", 8, {{"whole", number, 0}, {"half", number, 32}});
  const auto whole = btf.next();
  btf.structure("s", 128,
                {{"number", constant, 0},
                 {"self", whole + 1, 64},
                 {"nothing", btf.next() + 2, 128},
                 {"", choice, 192},
                 {"call", btf.next() + 3, 256},
                 {"matrix", btf.next() + 5, 320},
                 {"state", state, 512},
                 {"later", btf.next() + 6, 576}});
  btf.pointer(whole);
  btf.pointer(btf::kVoid);
  btf.pointer(function);
  btf.array(number, 3);
  btf.array(whole + 4, 2);
  btf.pointer(later);
  const Json isf = isf_of(btf);
  const std::string choice_name = "unnamed_" + std::to_string(choice);
  Json anonymous = field(24, {{"kind", "union"}, {"name", choice_name}});
  anonymous["anonymous"] = true;
  const Json expected = {{"number", field(0, base("int"))},
                         {"self", field(8, pointer(structure("s")))},
                         {"nothing", field(16, pointer(base("void")))},
                         {"unnamed_field_3", anonymous},
                         {"call", field(32, pointer({{"kind", "function"}}))},
                         {"matrix", field(40, array(2, array(3, base("int"))))},
                         {"state", field(64, {{"kind", "enum"}, {"name", "state"}})},
                         {"later", field(72, pointer(structure("later")))}};
  EXPECT_EQ(isf["user_types"]["s"]["fields"], expected);
  EXPECT_EQ(isf["user_types"]["s"]["kind"], "struct");
  EXPECT_EQ(isf["user_types"]["s"]["size"], 128);
  EXPECT_EQ(isf["user_types"][choice_name]["kind"], "union");
  EXPECT_FALSE(isf["user_types"].contains("later"));
  EXPECT_EQ(isf["enums"]["state"], Json::parse(R"({"size":4,"base":"int","constants":{"gone":-1,"up":1}})"));
}

TEST(Isf, BitFields_InUnitsOfTheirType) {
  BtfBuilder btf;
  const auto number = btf.integer("unsigned int", 4);
  const auto state = btf.enumeration("state", 4, false, {});
  btf.structure(
      "bits", 16,
      {{"a", number, 3, 5}, {"b", number, 62, 2}, {"crossing", number, 30, 7}, {"e", state, 64, 1}});
  const Json fields = isf_of(btf)["user_types"]["bits"]["fields"];
  const auto bits = [](int position, int length, const Json& type) {
    return Json{{"kind", "bitfield"}, {"bit_position", position}, {"bit_length", length}, {"type", type}};
  };
  EXPECT_EQ(fields["a"], field(0, bits(3, 5, base("unsigned int"))));
  EXPECT_EQ(fields["b"], field(4, bits(30, 2, base("unsigned int"))));
  EXPECT_EQ(fields["crossing"], field(3, bits(6, 7, base("unsigned int"))));
  EXPECT_EQ(fields["e"], field(8, bits(0, 1, {{"kind", "enum"}, {"name", "state"}})));
}

TEST(Isf, SameName_TheMostReferencedKeepsIt) {
  BtfBuilder btf;
  const auto rare = btf.structure("irq_info", 8, {});
  const auto usual = btf.structure("irq_info", 16, {});
  const auto one = btf.pointer(rare);
  const auto two = btf.pointer(usual);
  btf.structure("user", 24, {{"one", one, 0}, {"two", two, 64}, {"three", usual, 128}});
  const Json types = isf_of(btf)["user_types"];
  const std::string rare_name = "irq_info__" + std::to_string(rare);
  EXPECT_EQ(types["irq_info"]["size"], 16);
  EXPECT_EQ(types[rare_name]["size"], 8);
  EXPECT_EQ(types["user"]["fields"]["one"], field(0, pointer(structure(rare_name))));
  EXPECT_EQ(types["user"]["fields"]["two"], field(8, pointer(structure("irq_info"))));
}

TEST(Isf, TypeDefinitions_NameTheNamelessAndAliasTheNamed) {
  BtfBuilder btf;
  const auto nameless = btf.structure("", 8, {});
  const auto definition = btf.type_definition("pgd_t", nameless);
  const auto named = btf.structure("kernel_cap_struct", 16, {});
  const auto alias = btf.type_definition("kernel_cap_t", named);
  btf.type_definition("taken", btf.structure("other", 4, {}));
  btf.structure("taken", 32, {{"pgd", definition, 0}, {"cap", alias, 64}});
  const auto values = btf.enumeration("", 1, false, {{"x", 1}});
  btf.type_definition("values_t", values);
  const Json isf = isf_of(btf);
  const Json& types = isf["user_types"];
  EXPECT_EQ(types["pgd_t"]["size"], 8);
  EXPECT_EQ(types["kernel_cap_t"], types["kernel_cap_struct"]);
  EXPECT_EQ(types["taken"]["size"], 32) << "a structure's own name comes first";
  EXPECT_EQ(types["taken"]["fields"]["pgd"], field(0, structure("pgd_t")));
  EXPECT_EQ(types["taken"]["fields"]["cap"], field(8, structure("kernel_cap_struct")));
  EXPECT_EQ(types.size(), 5U);
  EXPECT_EQ(isf["enums"]["values_t"]["base"], "unsigned char");
}

TEST(Isf, Symbols_AsLinkedWithTypes) {
  BtfBuilder btf;
  const auto task = btf.structure("task_struct", 64, {});
  btf.variable("current_task", btf.pointer(task));
  const Json symbols = isf_of(btf, {{"current_task", 0x1f00},
                                    {"_text", kText, 'T'},
                                    {"linux_banner", kText + 16},
                                    {"sys_call_table", kText + 64},
                                    {"init_task", kText + 96},
                                    {"pid_hash", kText + 160},
                                    {"_end", kText + 256, 'B'}})["symbols"];
  EXPECT_EQ(symbols["_text"], (Json{{"address", 0xffffffff81000000}, {"type", base("void")}}));
  EXPECT_EQ(symbols["current_task"], (Json{{"address", 0x1f00}, {"type", pointer(structure("task_struct"))}}))
      << "KASLR does not move an offset in a per-CPU area";
  EXPECT_EQ(symbols["init_task"]["type"], structure("task_struct"));
  EXPECT_EQ(symbols["init_task"]["address"], 0xffffffff81000060);
  EXPECT_EQ(symbols["sys_call_table"]["type"], array(4, pointer({{"kind", "function"}})));
  EXPECT_EQ(symbols["pid_hash"]["type"], base("void")) << "this kernel has no such structure";
  EXPECT_EQ(symbols["linux_banner"]["type"], array(kBanner.size(), base("char")));
  EXPECT_EQ(symbols["linux_banner"]["constant_data"], "TGludXggdmVyc2lvbiA2LjEKAA==");
  EXPECT_EQ(symbols.size(), 7U);
}

TEST(Isf, SymbolsWithOneName_TheFirstGlobalOne) {
  const Json symbols = isf_of({}, {{"a", kText, 't'},
                                   {"a", kText + 1, 'T'},
                                   {"a", kText + 2, 'T'},
                                   {"b", kText + 3, 't'},
                                   {"b", kText + 4, 't'}})["symbols"];
  EXPECT_EQ(symbols["a"]["address"], 0xffffffff81000001);
  EXPECT_EQ(symbols["b"]["address"], 0xffffffff81000003);
  EXPECT_EQ(symbols.size(), 2U);
}

TEST(Isf, NamesThatAreNoText_AsciiAndStillTold) {
  BtfBuilder btf;
  const auto number = btf.integer("in\"t", 4);
  btf.structure("a\\\n\xff\x01", 4, {{"\"", number, 0}});
  btf.enumeration("\x7f", 4, false, {{"\xc3\xa4", 1}});
  const std::string text = text_of(btf, {{"\xff", kText}});
  EXPECT_TRUE(std::ranges::all_of(text, [](char c) { return c == '\n' || (c >= ' ' && c <= '~'); }));
  const Json isf = Json::parse(text);
  EXPECT_EQ(isf["user_types"]["a\\\n\u00ff\u0001"]["fields"]["\""], field(0, base("in\"t")));
  EXPECT_TRUE(isf["enums"]["\u007f"]["constants"].contains("\u00c3\u00a4"));
  EXPECT_TRUE(isf["symbols"].contains("\u00ff"));
}

TEST(Isf, SameInput_SameText) {
  BtfBuilder btf;
  const auto number = btf.integer("int", 4);
  for (const auto* const name : {"b", "a", "c", "a"}) {
    btf.structure(name, 4, {{"x", number, 0}});
  }
  EXPECT_EQ(text_of(btf, {{"z", kText}, {"y", kText}}), text_of(btf, {{"z", kText}, {"y", kText}}));
}

/// A million members need 12 bytes each, and could get a long name each.
TEST(Isf, TextBeyondTheLimit_Refused) {
  const std::string name(4000, '\xff');
  BtfBuilder btf;
  const auto definition = btf.structure(name, 4, {});
  const std::vector<BtfBuilder::Member> members(6000, {.name = {}, .type = definition});
  btf.structure("wide", 4, members);
  const auto types = btf::Types::parse(btf.bytes());
  ASSERT_TRUE(types);
  const auto text = isf_text(*symbols_of({}), **types, {.banner = kBanner});
  ASSERT_FALSE(text);
  EXPECT_EQ(text.error().kind, ErrorKind::no_data);
}

TEST(Isf, PointersWithoutEnd_End) {
  BtfBuilder btf;
  const auto circle = btf.next();
  btf.pointer(circle);
  btf.structure("s", 8, {{"p", circle, 0}});
  EXPECT_TRUE(isf_of(btf)["user_types"]["s"]["fields"].contains("p"));
}

} // namespace
} // namespace vmemfs
