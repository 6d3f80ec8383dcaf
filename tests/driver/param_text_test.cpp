// SPDX-License-Identifier: MIT
// The text form of parameters and of VM specifications.
#include "driver/param_text.h"
#include "driver/vm_spec.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <random>

namespace vmemfs {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

struct Value {
  const char* text; ///< the text after KEY=
  const char* value;
};
class ParamTextValue : public testing::TestWithParam<Value> {};

TEST_P(ParamTextValue, Parse_YieldsTheValue) {
  const auto [pairs, problems] = parse_pairs(std::string{"a=1,path="} + GetParam().text + ",z=2");
  EXPECT_THAT(problems, IsEmpty());
  EXPECT_THAT(pairs, ElementsAre(KeyValue{"a", "1"}, KeyValue{"path", GetParam().value}, KeyValue{"z", "2"}));
}

INSTANTIATE_TEST_SUITE_P(
    Texts, ParamTextValue,
    testing::Values(Value{"/run/web01.qmp", "/run/web01.qmp"}, Value{"/run/a=b==c", "/run/a=b==c"},
                    Value{"qemu+ssh://host:22/system?a=b", "qemu+ssh://host:22/system?a=b"},
                    Value{R"("/a,b")", "/a,b"}, Value{R"(/a","b)", "/a,b"}, Value{"two words", "two words"},
                    Value{"  spaces around  ", "spaces around"}, Value{R"("  kept  ")", "  kept  "},
                    Value{R"(  "  kept  "  )", "  kept  "}, Value{R"("say \"hi\"")", R"(say "hi")"},
                    Value{R"("back\\slash")", R"(back\slash)"}, Value{R"(C:\temp)", R"(C:\temp)"},
                    Value{R"("a=1,b=2")", "a=1,b=2"}, Value{"", ""}, Value{R"("")", ""},
                    Value{"\xc3\xa4\xe2\x82\xac", "\xc3\xa4\xe2\x82\xac"}));

TEST(ParamText, FormattedPairs_ParseUnchanged) {
  constexpr std::string_view kLetters = "ab ,=\"\\:'\n\xff";
  std::mt19937 random{1};
  std::uniform_int_distribution<std::size_t> letter{0, kLetters.size() - 1};
  std::uniform_int_distribution<int> length{0, 8};
  for (int round = 0; round < 2000; ++round) {
    std::vector<KeyValue> pairs;
    for (const char* key : {"x", "yy", "z_z"}) {
      std::string value;
      for (int i = length(random); i > 0; --i) {
        value += kLetters[letter(random)];
      }
      pairs.push_back({key, value});
    }
    const std::string text = format_pairs(pairs);
    EXPECT_EQ(parse_pairs(text).pairs, pairs) << text;
    EXPECT_THAT(parse_pairs(text).problems, IsEmpty()) << text;
  }
}

TEST(ParamText, SeveralProblems_AllReported) {
  const auto [pairs, problems] = parse_pairs(R"(one,a=1,,b=2,c="open)");
  EXPECT_THAT(pairs, ElementsAre(KeyValue{"a", "1"}, KeyValue{"b", "2"}));
  EXPECT_THAT(problems, ElementsAre(HasSubstr("'one' is not KEY=VALUE"), HasSubstr("'' is not KEY=VALUE"),
                                    HasSubstr("c: a quote is not closed")));
}

struct Spec {
  const char* text;
  const char* name;
  const char* driver;
  const char* params;
  const char* options;
};
class VmSpecText : public testing::TestWithParam<Spec> {};

const std::vector<ParamSpec> kOptions{{.name = "writable", .type = ParamType::flag}};

TEST_P(VmSpecText, Parse_YieldsTheParts) {
  const auto [spec, problems] = read_vm_spec(GetParam().text, kOptions);
  EXPECT_THAT(problems, IsEmpty());
  EXPECT_EQ(spec.name, GetParam().name);
  EXPECT_EQ(spec.driver, GetParam().driver);
  EXPECT_EQ(spec.params, GetParam().params);
  EXPECT_EQ(spec.options, GetParam().options);
}

INSTANTIATE_TEST_SUITE_P(
    Texts, VmSpecText,
    testing::Values(Spec{"web01=qemu:qmp=/run/a=b.sock", "web01", "qemu", "qmp=/run/a=b.sock", ""},
                    Spec{"fake", "", "fake", "", ""}, Spec{"dump:path=/x", "", "dump", "path=/x", ""},
                    Spec{"two words=fake", "two words", "fake", "", ""},
                    Spec{"a=fake:size=1M,writable=on,vcpus=2", "a", "fake", "size=1M,vcpus=2", "writable=on"},
                    Spec{"web01=", "web01", "", "", ""}, Spec{"web01=:pid=1", "web01", "", "pid=1", ""},
                    Spec{R"(x=dump:path="/a, b")", "x", "dump", R"(path="/a, b")", ""}));

TEST(VmSpecText, WithoutVmAndDriver_IsRefused) {
  for (const char* text : {"", "=qemu", "=", ":pid=1", "=:pid=1"}) {
    EXPECT_FALSE(parse_vm_spec(text).has_value()) << text;
  }
}

} // namespace
} // namespace vmemfs
