// SPDX-License-Identifier: MIT
// QEMUs that refuse a monitor command, as one without PCI refuses query-pci.
#include "drivers/qemu/layout/layout_sources.h"
#include "drivers/qemu/monitor/monitor.h"
#include "support/processes.h"
#include "support/qemu_guest.h"
#include "tests/drivers/qemu_protocol/fake_monitor.h"

#include <algorithm>
#include <chrono>
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>
#include <string>
#include <unistd.h>

namespace vmemfs::qemu {
namespace {

using namespace std::chrono_literals;
using nlohmann::json;

/// The error of a QEMU that was built without PCI, such as qemu-system-avr 7.2.
constexpr std::string_view kNotSupported =
    R"({"class": "GenericError", "desc": "this feature or command is not currently supported"})";
constexpr std::string_view kNotFound =
    R"({"class": "CommandNotFound", "desc": "The command has not been found"})";

/// Serves a connection by passing each command to a real QEMU, but refuses one of them.
void refuse(FakePeer& peer, test::TestMonitor& qemu, const std::string& refused, std::string_view error) {
  peer.greet();
  for (std::string line = peer.read_line(); !line.empty(); line = peer.read_line()) {
    const json command = json::parse(line);
    json answer{{"id", command.at("id")}};
    if (line.find(refused) != std::string::npos) {
      answer["error"] = json::parse(error);
    } else {
      answer["return"] = qemu.execute(command.at("execute"), command.value("arguments", json::object()));
    }
    peer.send(answer.dump() + "\r\n");
  }
}

struct Refusal {
  std::string command;
  std::string_view error;
};

void PrintTo(const Refusal& refusal, std::ostream* out) { *out << refusal.command; }

class RefusedCommand : public testing::TestWithParam<Refusal> {
protected:
  [[nodiscard]] Result<MonitorLayout> layout() {
    Monitor direct{guest_.driver_socket(), process_of(guest_.pid()), 20s, false};
    return direct.session().and_then([](MonitorSession&& session) { return layout_from_monitor(session); });
  }
  [[nodiscard]] Result<MonitorLayout> layout_with_refusal() {
    const FakeMonitor proxy{
        [this](FakePeer& peer) { refuse(peer, guest_.monitor(), GetParam().command, GetParam().error); }};
    Monitor monitor{proxy.path(), process_of(::getpid()), 20s, false};
    return monitor.session().and_then([](MonitorSession&& session) { return layout_from_monitor(session); });
  }

  test::QemuGuest guest_{{.fill = "none", .extra = {"-vga", "std"}}};
};

TEST_P(RefusedCommand, Layout_HasAllRanges) {
  const auto complete = layout();
  ASSERT_TRUE(complete) << complete.error().message();
  EXPECT_TRUE(complete->refused.empty());
  const auto without = layout_with_refusal();
  ASSERT_TRUE(without) << without.error().message();
  EXPECT_EQ(difference(*without, complete->layout), "");
  ASSERT_EQ(without->refused.size(), 1U);
  EXPECT_EQ(without->refused[0].what, GetParam().command);
  EXPECT_FALSE(without->refused[0].ok);
  EXPECT_THAT(without->refused[0].detail, testing::HasSubstr("main memory"));
  const auto ram = std::ranges::find(without->layout.ranges, Gpa{0},
                                     [](const LayoutRange& range) { return range.range.begin; });
  ASSERT_NE(ram, without->layout.ranges.end());
  EXPECT_EQ(ram->kind, RegionKind::ram);
}

INSTANTIATE_TEST_SUITE_P(Optional, RefusedCommand,
                         testing::Values(Refusal{"query-pci", kNotSupported}, Refusal{"query-pci", kNotFound},
                                         Refusal{"query-memdev", kNotFound}),
                         [](const auto& refusal) {
                           std::string name = refusal.param.command.substr(6);
                           return name + (refusal.param.error == kNotFound ? "_unknown" : "_unsupported");
                         });

TEST(RefusedMap, Gpa2Hva_IsNeeded) {
  test::QemuGuest guest{{.fill = "none"}};
  const FakeMonitor proxy{[&](FakePeer& peer) { refuse(peer, guest.monitor(), "gpa2hva", kNotSupported); }};
  Monitor monitor{proxy.path(), process_of(::getpid()), 20s, false};
  const auto layout =
      monitor.session().and_then([](MonitorSession&& session) { return layout_from_monitor(session); });
  EXPECT_FALSE(layout);
}

} // namespace
} // namespace vmemfs::qemu
