// SPDX-License-Identifier: MIT
#include "drivers/kvmi/kvmi_params.h"
#include "drivers/kvmi/kvmi_runtime.h"
#include "drivers/kvmi/kvmi_type.h"
#include "support/files.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace vmemfs::kvmi {
namespace {

using testing::HasSubstr;

Params params_of_text(const std::string& text) { return Params::parse(text, vm_params()).value(); }

TEST(KvmiType, SocketOrVsock_OneOfThem) {
  EXPECT_FALSE(Params::parse("domain=a", vm_params()));
  const auto both = hub_settings(params_of_text("domain=a,socket=/s,vsock=5000"));
  ASSERT_FALSE(both);
  EXPECT_EQ(both.error().kind, ErrorKind::invalid);
  EXPECT_EQ(hub_settings(params_of_text("domain=a,vsock=5000"))->endpoint.text(), "vsock port 5000");
}

TEST(KvmiType, Network_IsNeededForVsockOnly) {
  EXPECT_TRUE(kvmi_driver_type().needs(params_of_text("domain=a,vsock=5000")).network);
  EXPECT_FALSE(kvmi_driver_type().needs(params_of_text("domain=a,socket=/s")).network);
  EXPECT_FALSE(kvmi_driver_type().needs({}).network);
}

TEST(KvmiType, DiscoveryNeedsAnEndpoint) {
  EXPECT_EQ(kvmi_driver_type().discovery({}, nullptr), nullptr);
  EXPECT_FALSE(Params::parse("", discovery_params()));
}

TEST(KvmiType, ParametersOfAFoundVm_OpenIt) {
  const auto params = Params::parse("socket=/a b,timeout=7s", discovery_params()).value();
  const auto again = Params::parse(params_of(params, "web,01"), vm_params());
  ASSERT_TRUE(again) << again.error().message();
  EXPECT_EQ(again->text("domain"), "web,01");
  EXPECT_EQ(again->text("socket"), "/a b");
  EXPECT_EQ(again->duration("timeout"), std::chrono::seconds{7});
}

TEST(KvmiRuntimeTest, OneHubForEachEndpoint_AndOneKey) {
  const test::TempDir dir;
  test::write_file(dir / "key", "secret");
  KvmiRuntime runtime;
  const auto settings = [&](const std::string& more) {
    return hub_settings(params_of_text(fmt::format("domain=a,socket={}{}", dir / "s", more))).value();
  };
  auto first = runtime.hub(settings(""));
  ASSERT_TRUE(first);
  EXPECT_EQ(runtime.hub(settings("")).value(), *first);
  const auto other = runtime.hub(settings(",key=" + (dir / "key")));
  ASSERT_FALSE(other);
  EXPECT_THAT(other.error().text, HasSubstr("another key="));
  first->reset(); // nobody uses it any more: it still listens, and takes other settings
  EXPECT_TRUE(test::exists(dir / "s"));
  const auto keyed = runtime.hub(settings(",key=" + (dir / "key")));
  ASSERT_TRUE(keyed) << keyed.error().message();
  EXPECT_EQ((*keyed)->settings().secret, "secret");
  EXPECT_TRUE(test::exists(dir / "s"));
}

TEST(KvmiRuntimeTest, Hubs_AreBounded) {
  const test::TempDir dir;
  KvmiRuntime runtime;
  for (std::size_t i = 0; i <= KvmiRuntime::kMaxHubs; ++i) {
    const auto hub =
        runtime.hub(hub_settings(params_of_text(fmt::format("domain=a,socket={}{}", dir / "s", i))).value());
    EXPECT_EQ(hub.has_value(), i < KvmiRuntime::kMaxHubs) << i;
  }
}

/// No VM can connect here: that takes a host with vsock's loopback, or a VM.
TEST(KvmiRuntimeTest, VsockPort_IsListenedAt_AndBusyWhenTaken) {
  KvmiRuntime runtime;
  const auto settings = hub_settings(params_of_text("domain=a,vsock=47114")).value();
  const auto hub = runtime.hub(settings);
  if (!hub && hub.error().kind != ErrorKind::busy) {
    GTEST_SKIP() << "no vsock: " << hub.error().message();
  }
  EXPECT_FALSE(KvmiRuntime{}.hub(settings));
}

} // namespace
} // namespace vmemfs::kvmi
