#include "driver/params.h"
#include "drivers/all_drivers.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace vmemfs {
namespace {

using testing::HasSubstr;

const std::vector<ParamSpec> kSpecs{
    {"path", ParamType::text, true, "", "a path", "/x"},
    {"size", ParamType::size, false, "1M", "a size", "2M"},
    {"limit", ParamType::duration, false, "", "a duration", "1s"},
    {"keep", ParamType::flag, false, "off", "a flag", "on"},
    {"map", ParamType::choice, false, "auto", "a choice", "one", {"auto", "one"}},
};

TEST(Params, TakesValuesAndFallbacks) {
  const auto params = Params::parse("path=/a/b,limit=2s,keep=on", kSpecs);
  ASSERT_TRUE(params.has_value()) << params.error().message();
  EXPECT_EQ(params->text("path"), "/a/b");
  EXPECT_EQ(params->number("size"), 1U << 20U);
  EXPECT_EQ(params->duration("limit"), std::chrono::seconds{2});
  EXPECT_TRUE(params->flag("keep"));
  EXPECT_EQ(params->text("map"), "auto");
  EXPECT_FALSE(Params::parse("path=x", kSpecs)->has("limit"));
}

TEST(Params, QuotesKeepCommasEqualsSignsSpacesAndQuotes) {
  const auto params = Params::parse(R"(path="/a, b=\"c\" \\",size=1)", kSpecs);
  ASSERT_TRUE(params.has_value()) << params.error().message();
  EXPECT_EQ(params->text("path"), R"(/a, b="c" \)");
  EXPECT_EQ(Params::parse("path=a=b c", kSpecs)->text("path"), "a=b c");
}

TEST(Params, ReportsEveryProblemAtOnce) {
  const auto params = Params::parse("pth=x,size=big,keep=maybe,map=two,limit=5h", kSpecs);
  ASSERT_FALSE(params.has_value());
  for (const char* part : {"no parameter 'pth'", "known: path, size", "size: 'big'", "keep: 'maybe'",
                           "on or off", "map: 'two'", "auto, one", "limit: '5h'"}) {
    EXPECT_THAT(params.error().text, HasSubstr(part));
  }
}

struct BadParams {
  const char* text;
  const char* complaint;
};
class ParamsBad : public testing::TestWithParam<BadParams> {};

TEST_P(ParamsBad, IsRefused) {
  const auto params = Params::parse(GetParam().text, kSpecs);
  ASSERT_FALSE(params.has_value());
  EXPECT_EQ(params.error().kind, ErrorKind::invalid);
  EXPECT_THAT(params.error().text, HasSubstr(GetParam().complaint));
}

INSTANTIATE_TEST_SUITE_P(
    Texts, ParamsBad,
    testing::Values(BadParams{"", "path is missing"}, BadParams{"size=1M", "path is missing"},
                    BadParams{"path", "not KEY=VALUE"}, BadParams{"path=a,,", "not KEY=VALUE"},
                    BadParams{"path=\"a", "quote is not closed"}, BadParams{"path=a,path=b", "given twice"},
                    BadParams{"path=", "not allowed"}, BadParams{"=a", "no parameter ''"}));

TEST(VmSpec, Parses) {
  const auto full = parse_vm_spec("web01=qemu:qmp=/run/a=b.sock");
  ASSERT_TRUE(full.has_value());
  EXPECT_EQ(full->name, "web01");
  EXPECT_EQ(full->driver, "qemu");
  EXPECT_EQ(full->params, "qmp=/run/a=b.sock");
  EXPECT_EQ(parse_vm_spec("fake")->driver, "fake");
  EXPECT_EQ(parse_vm_spec("dump:path=/x")->name, "");
  for (const char* bad : {"", "=qemu", "web01=", "web01=:a=b", ":a=b"}) {
    EXPECT_FALSE(parse_vm_spec(bad).has_value()) << bad;
  }
}

TEST(AllDrivers, EveryDocumentedExampleParses) {
  for (const DriverType* const type : all_drivers()) {
    const auto spec = parse_vm_spec(type->example());
    ASSERT_TRUE(spec.has_value()) << type->name();
    EXPECT_EQ(spec->driver, type->name());
    const auto params = Params::parse(spec->params, type->params());
    EXPECT_TRUE(params.has_value()) << params.error().message();
    for (const ParamSpec& param : type->params()) {
      const auto example =
          Params::parse(std::string{param.name} + "=" + std::string{param.example}, type->params());
      EXPECT_TRUE(example.has_value() || example.error().text.find("is missing") != std::string::npos)
          << type->name() << ": " << example.error().message();
      EXPECT_THAT(describe(type->params()), HasSubstr(std::string{param.name}));
    }
  }
}

} // namespace
} // namespace vmemfs
