// SPDX-License-Identifier: MIT
#include "drivers/all_drivers.h"
#include "fs/files/text/driver_text.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <memory>
#include <string>
#include <vector>

namespace vmemfs {
namespace {

using testing::HasSubstr;
using testing::StartsWith;

struct NoVms : Discovery {
  Result<std::vector<FoundVm>> scan() override { return std::vector<FoundVm>{}; }
};

/// Opens nothing.
class TestType : public DriverType {
public:
  std::string_view name() const override { return "test"; }
  std::string_view summary() const override { return "a source for tests"; }
  std::span<const ParamSpec> params() const override { return params_; }
  std::string_view example() const override { return "test:path=/x"; }
  Result<void> available() const override { return available_; }
  std::unique_ptr<Discovery> discovery(const Params& /*params*/,
                                       const std::shared_ptr<DriverRuntime>& /*runtime*/) const override {
    return discovers_ ? std::make_unique<NoVms>() : nullptr;
  }
  std::span<const ParamSpec> discovery_params() const override { return discovery_params_; }
  Result<std::unique_ptr<Driver>> open(const Params& /*params*/, const DriverContext&) const override {
    return fail(ErrorKind::unsupported, "test", "opens nothing");
  }

  std::vector<ParamSpec> params_{
      {.name = "path", .type = ParamType::path, .required = true, .help = "the file", .example = "/x"},
      {.name = "size",
       .type = ParamType::size,
       .fallback = "1M",
       .help = "how much",
       .example = "2M",
       .range = {.min = 4096}}};
  std::vector<ParamSpec> discovery_params_;
  Result<void> available_;
  bool discovers_ = false;
};

TEST(DriverText, Driver_IsDescribedWithItsParameters) {
  EXPECT_EQ(driver_text(TestType{}), "test: a source for tests\n"
                                     "  here: works\n"
                                     "  example: --vm NAME=test:path=/x\n"
                                     "  finds no VMs by itself\n"
                                     "  path  a path, required\n"
                                     "      the file\n"
                                     "      example: path=/x\n"
                                     "  size  a size (bytes, or with K, M, G, T), at least 4K, default 1M\n"
                                     "      how much\n"
                                     "      example: size=2M\n");
}

TEST(DriverText, UnavailableDriver_SaysWhy) {
  TestType type;
  type.available_ = fail(ErrorKind::unsupported, "test", "no such device; run modprobe test");
  EXPECT_THAT(driver_text(type), HasSubstr("\n  here: test: no such device; run modprobe test\n"));
}

TEST(DriverText, Discovery_NamesItsParameters) {
  TestType type;
  type.discovers_ = true;
  EXPECT_THAT(driver_text(type), HasSubstr("\n  finds VMs by itself, and with --discover test\n"));
  type.discovery_params_ = {{.name = "uri"}, {.name = "host"}};
  EXPECT_THAT(driver_text(type),
              HasSubstr("\n  finds VMs by itself, and with --discover test, which takes uri= host=\n"));
}

TEST(DriverText, DiscoveryThatNeedsParameters_NamesThem) {
  TestType type;
  type.discovery_params_ = {{.name = "dir", .required = true}};
  EXPECT_THAT(driver_text(type), HasSubstr("\n  finds VMs with --discover test, which takes dir=\n"));
}

TEST(DriverText, EachDriver_NamesItselfAndEveryParameter) {
  for (const DriverType* const type : all_drivers()) {
    const std::string text = driver_text(*type);
    EXPECT_THAT(text, StartsWith(std::string{type->name()} + ": "));
    for (const ParamSpec& spec : type->params()) {
      EXPECT_THAT(text, HasSubstr("\n  " + std::string{spec.name} + "  "));
      EXPECT_THAT(text, HasSubstr("example: " + std::string{spec.name} + "="));
    }
  }
}

} // namespace
} // namespace vmemfs
