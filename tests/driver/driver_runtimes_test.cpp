// SPDX-License-Identifier: MIT
#include "driver/driver_list.h"
#include "driver/driver_runtimes.h"
#include "util/fd_watcher.h"
#include "util/worker.h"

#include <array>
#include <gtest/gtest.h>

namespace vmemfs {
namespace {

/// Opens nothing; notes the runtime that it is given.
class NotingType : public DriverType {
public:
  explicit NotingType(bool works) : works_{works} {}
  std::string_view name() const override { return works_ ? "works" : "broken"; }
  std::string_view summary() const override { return ""; }
  std::span<const ParamSpec> params() const override { return {}; }
  std::string_view example() const override { return ""; }
  Result<void> available() const override {
    return works_ ? Result<void>{} : fail(ErrorKind::unsupported, "test", "does not work");
  }
  std::shared_ptr<DriverRuntime> make_runtime() const override {
    ++made;
    return std::make_shared<DriverRuntime>();
  }
  std::unique_ptr<Discovery> discovery(const Params& /*params*/,
                                       const std::shared_ptr<DriverRuntime>& runtime) const override {
    given = runtime;
    return nullptr;
  }
  Result<std::unique_ptr<Driver>> open(const Params& /*params*/,
                                       const DriverContext& context) const override {
    given = context.runtime;
    return fail(ErrorKind::not_found, "test", "opens nothing");
  }

  mutable int made = 0;
  mutable std::shared_ptr<DriverRuntime> given;

private:
  bool works_;
};

class DriverRuntimesTest : public testing::Test {
protected:
  NotingType type_{true};
  NotingType broken_{false};
  const std::array<const DriverType*, 2> types_{&type_, &broken_};
  FdWatcher watcher_;
  Worker worker_;
};

TEST_F(DriverRuntimesTest, EachWorkingType_HasOne) {
  const DriverRuntimes runtimes{types_};
  EXPECT_EQ(type_.made, 1);
  EXPECT_NE(runtimes.of(type_), nullptr);
  EXPECT_EQ(broken_.made, 0);
  EXPECT_EQ(runtimes.of(broken_), nullptr);
}

TEST_F(DriverRuntimesTest, Driver_IsOpenedWithItsOwn) {
  const DriverRuntimes runtimes{types_};
  EXPECT_FALSE(open_driver(types_, {.driver = "works"}, {watcher_, worker_, &runtimes}));
  EXPECT_EQ(type_.given, runtimes.of(type_));
}

TEST_F(DriverRuntimesTest, Discovery_IsOpenedWithItsOwn) {
  const DriverRuntimes runtimes{types_};
  EXPECT_FALSE(open_discovery(types_, {.driver = "works"}, &runtimes));
  EXPECT_EQ(type_.given, runtimes.of(type_));
}

TEST_F(DriverRuntimesTest, OutsideOfAMount_ThereIsNone) {
  type_.given = std::make_shared<DriverRuntime>();
  EXPECT_FALSE(open_driver(types_, {.driver = "works"}, {watcher_, worker_}));
  EXPECT_EQ(type_.given, nullptr);
}

TEST_F(DriverRuntimesTest, User_KeepsItsRuntime) {
  std::weak_ptr<DriverRuntime> runtime;
  {
    const DriverRuntimes runtimes{types_};
    EXPECT_FALSE(open_driver(types_, {.driver = "works"}, {watcher_, worker_, &runtimes}));
    runtime = type_.given;
  }
  EXPECT_FALSE(runtime.expired());
  type_.given = nullptr;
  EXPECT_TRUE(runtime.expired());
}

} // namespace
} // namespace vmemfs
