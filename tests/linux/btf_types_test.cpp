// SPDX-License-Identifier: MIT
#include "linux/btf/types.h"
#include "linux/btf_builder.h"

#include <gtest/gtest.h>
#include <limits>
#include <memory>
#include <string>
#include <vector>

namespace vmemfs::btf {
namespace {

std::shared_ptr<const Types> parsed(const BtfBuilder& builder, std::shared_ptr<const Types> base = nullptr) {
  auto types = Types::parse(builder.bytes(), std::move(base));
  EXPECT_TRUE(types) << (types ? "" : types.error().text);
  return types ? *types : nullptr;
}

/// The words of the refusal; empty: it was accepted.
std::string refusal(std::vector<std::byte> bytes) {
  const auto types = Types::parse(std::move(bytes));
  return types ? "" : types.error().text;
}

TEST(BtfTypes, EveryKind_ReadsAsItWasMade) {
  BtfBuilder btf;
  const auto number = btf.integer("long int", 8, BtfBuilder::kSigned);
  const auto pointer = btf.pointer(number);
  const auto array = btf.array(pointer, 5, number);
  const auto structure = btf.structure("s", 48, {{"p", pointer, 0}, {"a", array, 64}});
  const auto whole = btf.union_type("u", 8, {{"n", number, 0}});
  const auto forward = btf.forward("later", true);
  const auto prototype = btf.prototype(number, {{"x", pointer}, {"", kVoid}});
  const auto function = btf.reference(Kind::function, prototype, "f", 2);
  const auto variable = btf.variable("v", structure);
  const auto section = btf.section(".data..percpu", 100, {{variable, 16, 48}});
  const auto floating = btf.floating("double", 8);
  const auto tag = btf.declaration_tag("bpf_kfunc", function, 1);
  const auto types = parsed(btf);
  ASSERT_TRUE(types);
  EXPECT_EQ(types->first(), 1U);
  EXPECT_EQ(types->end(), tag + 1);
  EXPECT_EQ(types->bytes().size(), btf.bytes().size());

  EXPECT_EQ(types->type(kVoid).kind, Kind::void_type);
  EXPECT_EQ(types->type(number).kind, Kind::integer);
  EXPECT_EQ(types->type(number).name, "long int");
  EXPECT_EQ(types->type(number).size, 8U);
  EXPECT_TRUE(types->integer(number).is_signed);
  EXPECT_FALSE(types->integer(number).is_char);
  EXPECT_FALSE(types->integer(number).is_bool);
  EXPECT_EQ(types->integer(number).bits, 64);
  EXPECT_EQ(types->type(pointer).target, number);
  EXPECT_EQ(types->array(array).element, pointer);
  EXPECT_EQ(types->array(array).index, number);
  EXPECT_EQ(types->array(array).count, 5U);
  EXPECT_EQ(types->type(structure).count, 2);
  EXPECT_EQ(types->member(structure, 1).name, "a");
  EXPECT_EQ(types->member(structure, 1).type, array);
  EXPECT_EQ(types->member(structure, 1).bit_offset, 64U);
  EXPECT_EQ(types->member(structure, 1).bitfield_bits, 0);
  EXPECT_EQ(types->type(whole).kind, Kind::union_type);
  EXPECT_TRUE(types->type(forward).kind_flag);
  EXPECT_EQ(types->type(prototype).target, number);
  EXPECT_EQ(types->type(prototype).count, 2);
  EXPECT_EQ(types->parameter(prototype, 0).name, "x");
  EXPECT_EQ(types->parameter(prototype, 0).type, pointer);
  EXPECT_EQ(types->parameter(prototype, 1).type, kVoid);
  EXPECT_EQ(types->type(function).target, prototype);
  EXPECT_EQ(types->type(function).count, 0) << "the number that others have is its linkage";
  EXPECT_EQ(types->type(variable).target, structure);
  EXPECT_EQ(types->type(section).size, 100U);
  EXPECT_EQ(types->section_variable(section, 0).variable, variable);
  EXPECT_EQ(types->section_variable(section, 0).offset, 16U);
  EXPECT_EQ(types->section_variable(section, 0).size, 48U);
  EXPECT_EQ(types->type(floating).size, 8U);
  EXPECT_EQ(types->type(tag).name, "bpf_kfunc");
  EXPECT_EQ(types->type(tag).target, function);
}

TEST(BtfTypes, Enumerations_ValuesExtendByTheirSign) {
  BtfBuilder btf;
  const auto plain = btf.enumeration("plain", 4, false, {{"top", 0xffffffff}});
  const auto with_sign = btf.enumeration("signed", 4, true, {{"minus", static_cast<std::uint64_t>(-2)}});
  const auto large = btf.enumeration64("large", false, {{"low", 1}, {"high", 0xfedcba9876543210}});
  const auto types = parsed(btf);
  ASSERT_TRUE(types);
  EXPECT_EQ(types->enumerator(plain, 0).value, 0xffffffffU);
  EXPECT_EQ(types->enumerator(with_sign, 0).value, std::numeric_limits<std::uint64_t>::max() - 1);
  EXPECT_TRUE(types->type(with_sign).kind_flag);
  EXPECT_EQ(types->enumerator(large, 1).name, "high");
  EXPECT_EQ(types->enumerator(large, 1).value, 0xfedcba9876543210U);
}

TEST(BtfTypes, BitFieldsInBothForms_HaveTheirWidth) {
  BtfBuilder btf;
  const auto number = btf.integer("unsigned int", 4);
  const auto narrow = btf.type_definition("narrow_t", btf.integer("unsigned int", 4, 0, 3));
  const auto shifted = btf.integer("unsigned int", 4, 0, 5, 2);
  const auto flagged = btf.structure("flagged", 8, {{"a", number, 33, 7}, {"b", number, 0}});
  const auto classic = btf.structure("classic", 8, {{"a", narrow, 35}, {"b", number, 0}, {"c", shifted, 40}});
  const auto types = parsed(btf);
  ASSERT_TRUE(types);
  EXPECT_EQ(types->member(flagged, 0).bit_offset, 33U);
  EXPECT_EQ(types->member(flagged, 0).bitfield_bits, 7);
  EXPECT_EQ(types->member(flagged, 1).bitfield_bits, 0);
  EXPECT_EQ(types->member(classic, 0).bit_offset, 35U);
  EXPECT_EQ(types->member(classic, 0).bitfield_bits, 3);
  EXPECT_EQ(types->member(classic, 1).bitfield_bits, 0);
  EXPECT_EQ(types->member(classic, 2).bit_offset, 42U);
  EXPECT_EQ(types->member(classic, 2).bitfield_bits, 5);
  EXPECT_FALSE(types->field("flagged", "a"));
  EXPECT_TRUE(types->field("flagged", "b"));
  EXPECT_FALSE(types->field("classic", "a"));
}

TEST(BtfTypes, Find_FirstOfTheKindWithTheName) {
  BtfBuilder btf;
  const auto definition = btf.type_definition("list_head", kVoid);
  const auto first = btf.structure("list_head", 16, {});
  btf.structure("list_head", 24, {});
  const auto other = btf.structure("list_hea", 8, {});
  btf.structure("", 8, {});
  const auto types = parsed(btf);
  ASSERT_TRUE(types);
  EXPECT_EQ(types->find(Kind::structure, "list_head"), first);
  EXPECT_EQ(types->find(Kind::type_definition, "list_head"), definition);
  EXPECT_EQ(types->find(Kind::structure, "list_hea"), other);
  EXPECT_FALSE(types->find(Kind::structure, "list_heads"));
  EXPECT_FALSE(types->find(Kind::structure, "list_headlist_head"));
  EXPECT_FALSE(types->find(Kind::union_type, "list_head"));
  EXPECT_FALSE(types->find(Kind::structure, ""));
}

TEST(BtfTypes, FindAmongMany_EachIsFound) {
  constexpr int kCount = 2000;
  BtfBuilder btf;
  for (int i = 0; i < kCount; ++i) {
    btf.structure("structure" + std::to_string(i * 7919 % kCount), 8, {});
  }
  const auto types = parsed(btf);
  ASSERT_TRUE(types);
  for (TypeId id = types->first(); id < types->end(); ++id) {
    EXPECT_EQ(types->find(Kind::structure, types->type(id).name), id);
  }
  EXPECT_GT(types->memory(), types->bytes().size());
}

TEST(BtfTypes, Module_ContinuesItsBase) {
  BtfBuilder kernel;
  const auto number = kernel.integer("int", 4, BtfBuilder::kSigned);
  const auto list = kernel.structure("list_head", 4, {{"next", number, 0}});
  BtfBuilder module{kernel};
  const auto own = module.structure("device", 8, {{"list", list, 0}, {"count", number, 32}});
  const auto same_name = module.structure("list_head", 8, {});
  const auto base = parsed(kernel);
  ASSERT_TRUE(base);
  const auto types = parsed(module, base);
  ASSERT_TRUE(types);
  EXPECT_EQ(types->first(), base->end());
  EXPECT_EQ(types->type(own).name, "device");
  EXPECT_EQ(types->type(list).name, "list_head");
  EXPECT_EQ(types->member(list, 0).name, "next");
  EXPECT_TRUE(types->integer(number).is_signed);
  EXPECT_EQ(types->find(Kind::structure, "device"), own);
  EXPECT_EQ(types->find(Kind::structure, "list_head"), list);
  EXPECT_NE(types->find(Kind::structure, "list_head"), same_name);
  EXPECT_FALSE(base->find(Kind::structure, "device"));
  const auto next = types->field("device", "list.next");
  ASSERT_TRUE(next);
  EXPECT_EQ(next->type, number);
}

TEST(BtfTypes, ModuleOnlyWithNamesOfItsBase_Reads) {
  BtfBuilder kernel;
  const auto number = kernel.integer("int", 4);
  BtfBuilder module{kernel};
  const auto pointer = module.pointer(number);
  const auto types = parsed(module, parsed(kernel));
  ASSERT_TRUE(types);
  EXPECT_EQ(types->size_of(pointer), 8U);
}

TEST(BtfTypes, ModuleOfAModule_Refused) {
  BtfBuilder kernel;
  kernel.integer("int", 4);
  BtfBuilder module{kernel};
  module.pointer(1);
  const auto types = parsed(module, parsed(kernel));
  ASSERT_TRUE(types);
  EXPECT_FALSE(Types::parse(BtfBuilder{module}.bytes(), types));
}

TEST(BtfTypes, Field_ByPathThroughAnonymousMembers) {
  BtfBuilder btf;
  const auto number = btf.integer("int", 4);
  const auto pointer = btf.pointer(kVoid);
  const auto path = btf.structure("path", 16, {{"mnt", pointer, 0}, {"dentry", pointer, 64}});
  const auto path_t = btf.type_definition("path_t", btf.reference(Kind::const_type, path));
  const auto inner = btf.structure("", 8, {{"x", number, 0}, {"y", number, 32}});
  const auto choice = btf.union_type("", 8, {{"whole", pointer, 0}, {"", inner, 0}});
  const auto numbers = btf.array(number, 3);
  btf.structure("file", 40,
                {{"first", number, 0}, {"", choice, 64}, {"f_path", path_t, 128}, {"last", numbers, 288}});
  btf.structure("tail", 4, {{"n", number, 0}, {"rest", btf.array(number, 0), 32}});
  const auto types = parsed(btf);
  ASSERT_TRUE(types);
  const auto dentry = types->field("file", "f_path.dentry");
  ASSERT_TRUE(dentry);
  EXPECT_EQ(dentry->offset, 24U);
  EXPECT_EQ(dentry->size, 8U);
  EXPECT_EQ(dentry->type, pointer);
  const auto y = types->field("file", "y");
  ASSERT_TRUE(y);
  EXPECT_EQ(y->offset, 12U);
  EXPECT_EQ(y->size, 4U);
  const auto whole_path = types->field("file", "f_path");
  ASSERT_TRUE(whole_path);
  EXPECT_EQ(whole_path->type, path) << "without its definition and qualifier";
  EXPECT_EQ(whole_path->size, 16U);
  const auto rest = types->field("tail", "rest");
  ASSERT_TRUE(rest);
  EXPECT_EQ(rest->offset, 4U);
  EXPECT_EQ(rest->size, 0U);
  EXPECT_FALSE(types->field("file", "last")) << "it ends outside of the structure";
  for (const char* none : {"", ".", "f_path.", ".dentry", "f_path.name", "first.x", "whole.x", "z"}) {
    EXPECT_FALSE(types->field("file", none)) << none;
  }
  EXPECT_FALSE(types->field("path_t", "dentry"));
  EXPECT_TRUE(types->field(path_t, "dentry"));
  EXPECT_FALSE(types->field("directory", "dentry"));
}

TEST(BtfTypes, SizeOf_ValuesOnly) {
  BtfBuilder btf;
  const auto number = btf.integer("int", 4);
  const auto matrix = btf.array(btf.array(number, 3), 5);
  const auto named = btf.type_definition("matrix_t", matrix);
  const auto prototype = btf.prototype(kVoid, {});
  const auto forward = btf.forward("later");
  const auto enumeration = btf.enumeration("e", 2, false, {});
  const auto tagged = btf.reference(Kind::type_tag, number, "user");
  const auto types = parsed(btf);
  ASSERT_TRUE(types);
  EXPECT_EQ(types->size_of(named), 60U);
  EXPECT_EQ(types->size_of(enumeration), 2U);
  EXPECT_EQ(types->size_of(tagged), 4U);
  EXPECT_FALSE(types->size_of(kVoid));
  EXPECT_FALSE(types->size_of(prototype));
  EXPECT_FALSE(types->size_of(forward));
}

TEST(BtfTypes, CirclesAndEndlessNesting_End) {
  BtfBuilder btf;
  const auto circle = btf.next();
  btf.type_definition("a", circle + 1);
  btf.reference(Kind::const_type, circle);
  const auto array = btf.next();
  btf.array(array, 2);
  const auto inside_itself = btf.next();
  btf.structure("loop", 8, {{"", inside_itself, 0}, {"", inside_itself, 0}, {"n", circle, 0}});
  const auto large =
      btf.array(btf.array(btf.array(btf.integer("int", 4), 0xffffffff), 0xffffffff), 0xffffffff);
  auto deep = btf.integer("char", 1);
  for (int i = 0; i < 1000; ++i) {
    deep = btf.array(deep, 1);
  }
  const auto types = parsed(btf);
  ASSERT_TRUE(types);
  EXPECT_EQ(types->resolve(circle), kVoid);
  EXPECT_FALSE(types->size_of(circle));
  EXPECT_FALSE(types->size_of(array));
  EXPECT_FALSE(types->size_of(large));
  EXPECT_FALSE(types->size_of(deep));
  EXPECT_FALSE(types->field("loop", "n"));
  EXPECT_FALSE(types->field("loop", "absent"));
}

TEST(BtfTypes, EveryCutOfTheBytes_Refused) {
  BtfBuilder btf;
  const auto number = btf.integer("int", 4);
  btf.structure("s", 4, {{"m", number, 0}});
  btf.enumeration64("e", true, {{"v", 1}});
  const std::vector<std::byte> whole = btf.bytes();
  for (std::size_t size = 0; size < whole.size(); ++size) {
    EXPECT_NE(refusal({whole.begin(), whole.begin() + static_cast<std::ptrdiff_t>(size)}), "") << size;
  }
  EXPECT_EQ(refusal(whole), "");
}

/// A refusal says which type is wrong.
TEST(BtfTypes, WrongTypes_Refused) {
  const auto refused = [](const auto& add) {
    BtfBuilder btf;
    btf.integer("int", 4);
    add(btf);
    return refusal(btf.bytes());
  };
  using B = BtfBuilder;
  EXPECT_EQ(refused([](B& btf) { btf.pointer(1); }), "");
  EXPECT_EQ(refused([](B& btf) { btf.pointer(3); }),
            "cannot read a BTF: type 2 refers to type 3, but there are 2");
  EXPECT_NE(refused([](B& btf) { btf.array(3, 1, 1); }), "");
  EXPECT_NE(refused([](B& btf) { btf.array(1, 1, 3); }), "");
  EXPECT_NE(refused([](B& btf) { btf.structure("s", 4, {{"m", 3, 0}}); }), "");
  EXPECT_NE(refused([](B& btf) { btf.union_type("s", 4, {{"m", 3, 0}}); }), "");
  EXPECT_NE(refused([](B& btf) { btf.prototype(3, {}); }), "");
  EXPECT_NE(refused([](B& btf) { btf.prototype(1, {{"p", 3}}); }), "");
  EXPECT_NE(refused([](B& btf) { btf.variable("v", 3); }), "");
  EXPECT_NE(refused([](B& btf) { btf.section("d", 4, {{3, 0, 4}}); }), "");
  EXPECT_NE(refused([](B& btf) { btf.declaration_tag("t", 3, 0); }), "");
  EXPECT_EQ(refused([](B& btf) { btf.begin(Kind::void_type, "v", 0); }),
            "cannot read a BTF: type 2 is of the unknown kind 0");
  EXPECT_NE(refused([](B& btf) { btf.begin(static_cast<Kind>(20), "v", 0); }), "");
  EXPECT_EQ(refused([](B& btf) { btf.begin(Kind::structure, "s", 4, 1); }),
            "cannot read a BTF: type 2 is cut");
  EXPECT_NE(refused([](B& btf) { btf.integer("i", 0, 0, 1); }), "");
  EXPECT_NE(refused([](B& btf) { btf.integer("i", 17); }), "");
  EXPECT_NE(refused([](B& btf) { btf.integer("i", 4, 0, 33); }), "");
  EXPECT_NE(refused([](B& btf) { btf.integer("i", 4, 0, 32, 1); }), "");
  EXPECT_NE(refused([](B& btf) { btf.enumeration("e", 3, false, {}); }), "");
  EXPECT_NE(refused([](B& btf) { btf.enumeration("e", 16, false, {}); }), "");
  EXPECT_NE(refused([](B& btf) { btf.floating("f", 32); }), "");
}

TEST(BtfTypes, NamesOutsideOrWithoutEnd_Refused) {
  using namespace std::string_view_literals;
  BtfBuilder btf;
  btf.enumeration("", 4, false, {{"", 1}});
  std::vector<std::byte> types = btf.bytes();
  types.erase(types.begin(), types.begin() + 24);
  types.pop_back(); // its only name
  EXPECT_EQ(refusal(BtfBuilder::whole(types, "\0abc\0"sv)), "");
  EXPECT_NE(refusal(BtfBuilder::whole(types, ""sv)), "");
  EXPECT_NE(refusal(BtfBuilder::whole(types, "\0abc"sv)), "");
  EXPECT_NE(refusal(BtfBuilder::whole(types, "abc\0"sv)), "");
  const auto one_name = [](std::size_t size) { return '\0' + std::string(size, 'a') + '\0'; };
  EXPECT_EQ(refusal(BtfBuilder::whole(types, one_name(4095))), "");
  EXPECT_NE(refusal(BtfBuilder::whole(types, one_name(4096))), "");
}

TEST(BtfTypes, WrongHeaders_Refused) {
  BtfBuilder btf;
  btf.integer("int", 4);
  const auto with = [&btf](std::size_t offset, std::uint32_t value) {
    std::vector<std::byte> bytes = btf.bytes();
    store_le(std::span{bytes}, offset, value);
    return refusal(std::move(bytes));
  };
  constexpr std::uint32_t kMax = std::numeric_limits<std::uint32_t>::max();
  EXPECT_EQ(with(4, 24), "");
  EXPECT_NE(with(0, 0x0001eb9e), "");
  EXPECT_NE(with(0, 0x0002eb9f), "");
  EXPECT_NE(with(0, 0x0101eb9f), "");
  for (const std::uint32_t size : {0U, 23U, 25U, kMax}) {
    EXPECT_NE(with(4, size), "") << size;
  }
  for (const std::size_t offset : {8U, 12U, 16U, 20U}) {
    EXPECT_NE(with(offset, kMax), "") << offset;
    EXPECT_NE(with(offset, 1000), "") << offset;
  }
}

TEST(BtfTypes, LongerHeader_ItsUnknownPartIsSkipped) {
  BtfBuilder btf;
  const auto number = btf.integer("int", 4);
  std::vector<std::byte> bytes = btf.bytes();
  bytes.insert(bytes.begin() + 24, 8, std::byte{7});
  store_le(std::span{bytes}, 4, std::uint32_t{32});
  const auto types = Types::parse(std::move(bytes));
  ASSERT_TRUE(types) << types.error().text;
  EXPECT_EQ((*types)->type(number).name, "int");
}

} // namespace
} // namespace vmemfs::btf
