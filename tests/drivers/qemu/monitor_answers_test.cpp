// SPDX-License-Identifier: MIT
#include "drivers/qemu/monitor/monitor_answers.h"
#include "tests/drivers/qemu_protocol/samples.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>
#include <string>

namespace vmemfs::qemu {
namespace {

using nlohmann::json;

json json_sample(const std::string& name) { return json::parse(read_sample(name)); }

TEST(MonitorAnswers, RunStatus) {
  const auto status =
      run_status_of(json::parse(R"({"status":"prelaunch","singlestep":false,"running":false})"));
  ASSERT_TRUE(status);
  EXPECT_FALSE(status->running);
  EXPECT_EQ(status->detail, "prelaunch");
}

/// The states of QEMU 7.2, from the documentation of RunState in its qapi/run-state.json.
TEST(MonitorAnswers, RunStates) {
  const auto status_in = [](const std::string& state) {
    return run_status_of({{"status", state}, {"running", state == "running"}}).value();
  };
  for (const std::string state : {"debug", "inmigrate", "internal-error", "io-error", "paused", "postmigrate",
                                  "prelaunch", "finish-migrate", "restore-vm", "running", "save-vm",
                                  "shutdown", "suspended", "watchdog", "guest-panicked", "colo", "other"}) {
    const RunStatus status = status_in(state);
    using testing::AnyOf;
    EXPECT_EQ(status.may_start, testing::Matches(AnyOf("inmigrate", "finish-migrate", "restore-vm", "save-vm",
                                                       "suspended", "colo"))(state))
        << state;
    EXPECT_EQ(status.memory_changes, testing::Matches(AnyOf("inmigrate", "restore-vm", "colo"))(state))
        << state;
    EXPECT_EQ(passes_soon(status),
              testing::Matches(AnyOf("finish-migrate", "restore-vm", "save-vm", "colo"))(state))
        << state;
  }
  for (const std::string state : {"paused", "prelaunch", "inmigrate", "finish-migrate", "save-vm"}) {
    EXPECT_TRUE(status_in(state).by_command) << state;
  }
  for (const std::string state :
       {"postmigrate", "io-error", "shutdown", "suspended", "watchdog", "guest-panicked", "other"}) {
    EXPECT_FALSE(status_in(state).by_command) << state;
  }
}

TEST(MonitorAnswers, PciBarsWithoutUnmappedOnesAndPorts) {
  const auto bars = pci_bars_of(json_sample("query_pci_pc.json"));
  ASSERT_TRUE(bars);
  EXPECT_THAT(*bars, testing::Contains(GpaRange{Gpa{0xfd000000}, Gpa{0xfe000000}}));
  for (const GpaRange& bar : *bars) {
    EXPECT_GE(bar.begin.value(), 0x80000000U);
  }
}

TEST(MonitorAnswers, PciBarsBehindBridges) {
  const auto bars = pci_bars_of(json_sample("query_pci_q35.json"));
  ASSERT_TRUE(bars);
  EXPECT_THAT(*bars, testing::Contains(GpaRange{Gpa{0xfe000000}, Gpa{0xfe004000}}));
}

TEST(MonitorAnswers, HostileBars) {
  const auto bars = pci_bars_of(json::parse(R"([1, {}, {"devices": 3}, {"devices": [null, {"regions": {}},
    {"regions": [7, {"type": "memory", "address": 18446744073709551615, "size": 4096},
                 {"type": "memory", "address": 9223372036854771712, "size": 8192},
                 {"type": "memory", "address": 4096, "size": -1}, {"type": "memory", "address": 4096, "size": 0},
                 {"type": 1, "address": 4096, "size": 4096}, {"type": "memory", "address": 1.5, "size": 4096}],
     "pci_bridge": {"devices": {"regions": 1}}}]}])"));
  ASSERT_TRUE(bars);
  EXPECT_TRUE(bars->empty());
}

TEST(MonitorAnswers, MemoryBackends) {
  const auto ids = memory_backend_ids_of(json_sample("query_memdev.json"));
  ASSERT_TRUE(ids);
  EXPECT_THAT(*ids, testing::UnorderedElementsAre("pc.ram", "shm"));
}

TEST(MonitorAnswers, NameAndUuid) {
  EXPECT_EQ(name_of(json::parse(R"({"name":"web01"})")), "web01");
  EXPECT_EQ(name_of(json::parse("{}")), "");
  EXPECT_EQ(uuid_of(json::parse(R"({"UUID":"00000000-0000-0000-0000-000000000000"})")), "");
  EXPECT_EQ(uuid_of(json::parse(R"({"UUID":"6c5f0b7e-0000-4000-8000-000000000001"})")),
            "6c5f0b7e-0000-4000-8000-000000000001");
}

TEST(MonitorAnswers, Vcpus) {
  const auto vcpus = vcpus_of(json::parse(R"([{"cpu-index":0,"thread-id":77},{"cpu-index":2}])"));
  ASSERT_TRUE(vcpus);
  ASSERT_EQ(vcpus->size(), 2U);
  EXPECT_EQ((*vcpus)[0].id, VcpuId{0});
  EXPECT_EQ((*vcpus)[0].thread, 77);
  EXPECT_EQ((*vcpus)[1].id, VcpuId{2});
  EXPECT_EQ((*vcpus)[1].thread, 0);
  EXPECT_FALSE(vcpus_of(json::parse(R"([{"cpu-index":4294967296}])")));
  const auto too_many = vcpus_of(json(std::vector<json>(1'000'000, json{{"cpu-index", 0}})));
  ASSERT_FALSE(too_many);
  EXPECT_THAT(too_many.error().text, testing::HasSubstr("QEMU lists 1000000 vCPUs, and at most 8192"));
}

TEST(MonitorAnswers, UnexpectedForms_AreErrors) {
  for (const char* text : {"null", "1", "\"x\"", "[1]", "[[]]", "{\"running\":1,\"status\":2}", "[{}]"}) {
    const json answer = json::parse(text);
    EXPECT_FALSE(run_status_of(answer)) << text;
    EXPECT_FALSE(uuid_of(answer)) << text;
    EXPECT_FALSE(architecture_of(answer)) << text;
    EXPECT_FALSE(vcpus_of(answer)) << text;
    EXPECT_FALSE(chardevs_of(answer)) << text;
    EXPECT_EQ(name_of(answer).has_value(), answer.is_object()) << text;
    EXPECT_EQ(memory_backend_ids_of(answer).has_value(), answer.is_array()) << text;
    EXPECT_EQ(pci_bars_of(answer).has_value(), answer.is_array()) << text;
  }
}

TEST(MonitorAnswers, HostAddresses) {
  EXPECT_EQ(hva_of("Host virtual address for 0x1000 (pc.ram) is 0x7f2b4be01000\r\n").value(),
            Hva{0x7f2b4be01000});
  EXPECT_EQ(hva_of("Host virtual address for 0x0 (a) is 0x1) is 0x2000").value(), Hva{0x2000});
  EXPECT_EQ(hva_of("Memory at address 0xa0000 is not RAM\r\n").value(), std::nullopt);
  EXPECT_EQ(hva_of("Error: Memory at address 0xfee00000 is not RAM\r\n").value(), std::nullopt);
  EXPECT_EQ(hva_of("Error: No memory is mapped at address 0x100000000\r\n").value(), std::nullopt);
  for (const char* text :
       {"", "unknown command: 'gpa2hva'", "Host virtual address for 0x1000",
        "Host virtual address for 0x0 (a) is 0x", "Host virtual address for 0x0 (a) is 0x0",
        "Host virtual address for 0x0 (a) is 0x10000000000000000"}) {
    EXPECT_FALSE(hva_of(text)) << text;
  }
}

} // namespace
} // namespace vmemfs::qemu
