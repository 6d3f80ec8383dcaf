// SPDX-License-Identifier: MIT
// Rules for every driver of this build.
#include "drivers/all_drivers.h"
#include "vm/vm_options.h"

#include <algorithm>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <set>

namespace vmemfs {
namespace {

using testing::HasSubstr;
using testing::IsEmpty;

class EveryDriver : public testing::TestWithParam<const DriverType*> {
protected:
  const DriverType& type_ = *GetParam();
};

TEST_P(EveryDriver, DocumentedExample_Parses) {
  const auto spec = parse_vm_spec(type_.example());
  ASSERT_TRUE(spec.has_value()) << spec.error().message();
  EXPECT_EQ(spec->driver, type_.name());
  EXPECT_THAT(problems_of(*spec), IsEmpty());
  const auto named = parse_vm_spec("NAME=" + std::string{type_.example()}); // as documented
  EXPECT_EQ(named->name, "NAME");
}

TEST_P(EveryDriver, ParamExamplesAndFallbacks_AreAllowedValues) {
  for (const ParamSpec& param : type_.params()) {
    SCOPED_TRACE(param.name);
    EXPECT_EQ(wrong_value(param, param.example), std::nullopt);
    if (!param.fallback.empty()) {
      EXPECT_EQ(wrong_value(param, param.fallback), std::nullopt);
      EXPECT_FALSE(param.required || param.alternative) << "a parameter with a default is never missing";
    }
    EXPECT_EQ(param.type == vmemfs::ParamType::choice, !param.choices.empty());
    EXPECT_FALSE(param.help.empty());
    EXPECT_THAT(describe(type_.params()), HasSubstr(std::string{param.help}));
  }
}

TEST_P(EveryDriver, ParamKeys_AreUnique) {
  std::set<std::string_view> keys{"driver"}; // a key that the configuration adds
  for (const ParamSpec& option : vm_option_specs()) {
    keys.insert(option.name);
  }
  for (const ParamSpec& param : type_.params()) {
    EXPECT_TRUE(keys.insert(param.name).second) << param.name;
    EXPECT_EQ(param.name.find_first_not_of("abcdefghijklmnopqrstuvwxyz0123456789_-"), std::string_view::npos);
  }
}

INSTANTIATE_TEST_SUITE_P(All, EveryDriver, testing::ValuesIn(all_drivers().begin(), all_drivers().end()),
                         [](const auto& subject) { return std::string{subject.param->name()}; });

TEST(AllDrivers, AbsentDriver_IsNotInTheList) {
  for (const AbsentDriver& absent : absent_drivers()) {
    EXPECT_EQ(find_driver(all_drivers(), absent.name), nullptr);
    EXPECT_THAT(problems_of({.driver = std::string{absent.name}}),
                testing::Contains(HasSubstr("was not compiled in")));
  }
}

TEST(VmOptions, SetOptions_AppliesGivenValues) {
  for (const ParamSpec& spec : vm_option_specs()) {
    EXPECT_EQ(wrong_value(spec, spec.example), std::nullopt) << spec.name;
    EXPECT_TRUE(spec.fallback.empty()) << "otherwise it would override the options for all VMs";
  }
  VmOptions options;
  set_options(Params::parse("cache_ttl=2s,mode=0640,owner=root,group=7", vm_option_specs()).value(), options);
  EXPECT_FALSE(options.writable);
  EXPECT_EQ(options.cache_ttl, std::chrono::seconds{2});
  EXPECT_EQ(options.rights.mode, 0640U);
  EXPECT_EQ(options.rights.owner, 0U);
  EXPECT_EQ(options.rights.group, 7U);
  set_options(Params::parse("writable=on", vm_option_specs()).value(), options);
  EXPECT_TRUE(options.writable);
  EXPECT_EQ(options.rights.mode, 0640U);
}

} // namespace
} // namespace vmemfs
