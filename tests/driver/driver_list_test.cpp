// SPDX-License-Identifier: MIT
// Selection of the driver for a spec, with the test's own drivers.
#include "driver/driver_list.h"
#include "util/fd_watcher.h"
#include "util/worker.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace vmemfs {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

/// Opens nothing, and reports the parameters of the request.
class TestType : public DriverType {
public:
  TestType(std::string name, std::vector<ParamSpec> specs)
      : name_{std::move(name)}, specs_{std::move(specs)} {}

  std::string_view name() const override { return name_; }
  std::string_view summary() const override { return "for a test"; }
  std::span<const ParamSpec> params() const override { return specs_; }
  std::string_view example() const override { return "EXAMPLE"; }
  Result<void> available() const override {
    return missing_.empty() ? Result<void>{} : fail(ErrorKind::unsupported, name_, missing_);
  }
  Result<std::unique_ptr<Driver>> open(const Params& params,
                                       const DriverContext& /*context*/) const override {
    std::string asked;
    for (const ParamSpec& spec : specs_) {
      if (params.has(spec.name)) {
        asked += " " + std::string{spec.name} + "=" + params.text(spec.name);
      }
    }
    return fail(kind_, name_, "asked for" + asked);
  }

  std::string missing_;
  ErrorKind kind_ = ErrorKind::not_found;

private:
  std::string name_;
  std::vector<ParamSpec> specs_;
};

class DriverListTest : public testing::Test {
protected:
  std::string open(const VmSpec& spec) {
    return open_driver(kDrivers, spec, {watcher_, worker_}).error().message();
  }

  TestType by_name_{"hyper",
                    {{.name = "name", .alternative = true, .names_vm = true},
                     {.name = "pid", .type = ParamType::number, .range = {1, 9}, .alternative = true},
                     {.name = "speed", .type = ParamType::choice, .choices = {"slow", "fast"}}}};
  TestType by_domain_{"visor", {{.name = "domain", .required = true, .names_vm = true}, {.name = "uri"}}};
  TestType by_path_{"file", {{.name = "path", .type = ParamType::path, .required = true}}};
  const std::vector<const DriverType*> kDrivers{&by_name_, &by_domain_, &by_path_};
  FdWatcher watcher_;
  Worker worker_;
};

TEST_F(DriverListTest, SpecWithNameOnly_TriesEachDriverInTurn) {
  EXPECT_EQ(open({.name = "web"}),
            "vm: no driver can open 'web':\n"
            "  hyper: asked for name=web\n"
            "  visor: asked for domain=web\n"
            "  not tried, as they need parameters ('vmemfs drivers NAME' has them): file");
}

// One cause among a dozen drivers that have nothing to do with the VM.
TEST_F(DriverListTest, SpecWithNameOnly_LikelyReasonComesFirst) {
  by_name_.kind_ = ErrorKind::not_found;
  by_domain_.kind_ = ErrorKind::source_failed;
  TestType refused{"late", {{.name = "name", .alternative = true, .names_vm = true}}};
  refused.kind_ = ErrorKind::permission;
  TestType missing{"absent", {{.name = "name", .required = true, .names_vm = true}}};
  missing.missing_ = "no hypervisor here";
  const TestType socket{
      "many",
      {{.name = "domain", .required = true, .names_vm = true}, {.name = "socket", .alternative = true}}};
  const std::vector<const DriverType*> drivers{&by_name_, &missing, &by_domain_,
                                               &by_path_, &socket,  &refused};
  const Error error = open_driver(drivers, {.name = "web"}, {watcher_, worker_}).error();
  EXPECT_EQ(error.kind, ErrorKind::permission);
  EXPECT_EQ(error.text, "no driver can open 'web':\n"
                        "  late: asked for name=web\n"
                        "  visor: asked for domain=web\n"
                        "  hyper: asked for name=web\n"
                        "  not tried, as they need parameters ('vmemfs drivers NAME' has them): file, many; "
                        "not usable here ('vmemfs check' has the reasons): absent");
}

TEST_F(DriverListTest, SpecWithoutDriver_EachDriverGetsItsParameters) {
  EXPECT_EQ(
      open({.name = "web", .params = "pid=4,uri=remote,path=/x"}),
      "vm: no driver can open 'web':\n  hyper: asked for pid=4\n  visor: asked for domain=web uri=remote\n"
      "  file: asked for path=/x");
}

// Many VMs may be at one socket, so that the socket alone says nothing.
TEST_F(DriverListTest, SpecWithoutDriver_RequiredNameIsThatOfTheVm) {
  const TestType socket{
      "many",
      {{.name = "domain", .required = true, .names_vm = true}, {.name = "socket", .alternative = true}}};
  const std::vector<const DriverType*> drivers{&socket};
  const auto asked = [&](std::string params) {
    return open_driver(drivers, {.name = "web", .params = std::move(params)}, {watcher_, worker_})
        .error()
        .message();
  };
  EXPECT_THAT(asked("socket=/s"), HasSubstr("many: asked for domain=web socket=/s"));
  EXPECT_THAT(asked("socket=/s,domain=other"), HasSubstr("many: asked for domain=other socket=/s"));
}

TEST_F(DriverListTest, UnavailableDriver_ErrorHasTheReasonIfItIsMeant) {
  by_name_.missing_ = "no hypervisor here; install it";
  EXPECT_THAT(open({.name = "web", .params = "pid=4"}),
              HasSubstr("\n  hyper: no hypervisor here; install it\n"));
  EXPECT_THAT(open({.name = "web"}), HasSubstr("; not usable here ('vmemfs check' has the reasons): hyper"));
}

TEST_F(DriverListTest, DiscoveryOfADriverThatFindsNone_SaysSoWhateverTheParameters) {
  for (const char* const params : {"", "path=/x"}) {
    const auto discovery = open_discovery(kDrivers, {.driver = "file", .params = params}, nullptr);
    ASSERT_FALSE(discovery) << params;
    EXPECT_EQ(discovery.error().text, "this driver finds no VMs by itself; name them with --vm") << params;
  }
}

TEST_F(DriverListTest, MissingPermission_DecidesTheErrorKind) {
  by_domain_.kind_ = ErrorKind::permission;
  EXPECT_EQ(open_driver(kDrivers, {.name = "web"}, {watcher_, worker_}).error().kind, ErrorKind::permission);
  EXPECT_EQ(open_driver({}, {.name = "web"}, {watcher_, worker_}).error().kind, ErrorKind::invalid);
}

TEST_F(DriverListTest, SingleWord_IsDriverOrVmName) {
  EXPECT_EQ(resolved(kDrivers, {.driver = "visor"}).driver, "visor");
  EXPECT_EQ(resolved(kDrivers, {.driver = "web"}).name, "web");
  EXPECT_EQ(resolved(kDrivers, {.driver = "web"}).driver, "");
  EXPECT_EQ(resolved(kDrivers, {.driver = "web", .params = "a=1"}).driver,
            "web"); // a mistake, reported as one
  EXPECT_EQ(resolved(kDrivers, {.name = "x", .driver = "web"}).driver, "web");
}

TEST_F(DriverListTest, SeveralProblems_AllReported) {
  const std::vector<ParamSpec> options{{.name = "writable", .type = ParamType::flag}};
  EXPECT_THAT(
      problems_of(kDrivers,
                  {.driver = "hyper", .params = "nme=x,pid=0,pid=10,speed=2", .options = "writable=1"},
                  options),
      ElementsAre("hyper: there is no parameter 'nme' (known: name, pid, speed, writable)",
                  "hyper: pid: '0' is not allowed; it takes a number, 1 to 9",
                  "hyper: pid: '10' is not allowed; it takes a number, 1 to 9", "hyper: pid is given twice",
                  "hyper: speed: '2' is not allowed; it takes one of slow, fast"));
  EXPECT_THAT(problems_of(kDrivers, {.driver = "hyper", .params = "speed=fast"}),
              ElementsAre("hyper: one of name, pid is needed; for example name="));
  EXPECT_THAT(problems_of(kDrivers, {.driver = "file", .params = "pth=x"}),
              ElementsAre(HasSubstr("no parameter 'pth'"), HasSubstr("path is missing")));
  EXPECT_THAT(problems_of(kDrivers, {.driver = "nope", .params = "x=1"}),
              ElementsAre("there is no driver 'nope' here; there are hyper, visor, file"));
  EXPECT_THAT(
      problems_of(kDrivers, {.name = "web", .params = "pid=0,nme=x", .options = "writable=x"}, options),
      ElementsAre("hyper: pid: '0' is not allowed; it takes a number, 1 to 9",
                  "no driver has a parameter 'nme' ('vmemfs drivers' lists them)",
                  "writable: 'x' is not allowed; it takes on or off"));
  EXPECT_THAT(problems_of(kDrivers, {.name = "web", .params = "pid=3,uri=x"}), IsEmpty());
}

} // namespace
} // namespace vmemfs
