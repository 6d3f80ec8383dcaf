// SPDX-License-Identifier: MIT
#include "drivers/qemu/monitor/monitor_answers.h"

#include "core/text.h"
#include "core/vcpu_set.h"
#include "drivers/qemu_protocol/qmp_values.h"

#include <algorithm>
#include <array>
#include <fmt/format.h>
#include <limits>
#include <nlohmann/json.hpp>
#include <utility>

namespace vmemfs::qemu {
namespace {

using nlohmann::json;

constexpr std::string_view kOrigin = "qmp";
constexpr std::uint64_t kMaxPid = std::uint64_t{1} << 22U;

tl::unexpected<Error> bad_answer(std::string_view command) {
  return fail(ErrorKind::source_failed, kOrigin,
              fmt::format("QEMU's answer to '{}' does not have the expected form", command));
}

/// A state in which no vCPU runs, as RunStatus describes it. The VM does not leave one that is not here
/// without a command, and was stopped for a reason of its own.
struct State {
  std::string_view name = {};
  bool by_command = false;
  bool may_start = false;
  bool memory_changes = false;
};

/// Source: softmmu/runstate.c, migration/ and qmp_stop() of QEMU 7.2. See docs/qemu.md.
constexpr std::array kStates = std::to_array<State>({
    {"paused", true, false, false},
    {"prelaunch", true, false, false}, // -S, or a reset while it was paused
    {"inmigrate", true, true, true},
    {"finish-migrate", true, true, false},
    {"save-vm", true, true, false},
    {"restore-vm", true, true, true},
    {"colo", false, true, true},
    {"suspended", false, true, false},
});

/// The only text member of an answer.
Result<std::string> only_text(const json& answer, const char* key, std::string_view command) {
  auto value = qmp_text(answer, key);
  if (!value) {
    return bad_answer(command);
  }
  return std::move(*value);
}

/// The range of one BAR; nullopt for I/O ports and for a BAR that the guest has not mapped (address -1).
std::optional<GpaRange> bar_range(const json& region) {
  const auto address = qmp_number(region, "address");
  const auto size = qmp_number(region, "size");
  if (qmp_text(region, "type") != "memory" || !address || !size || *size == 0 || *address >= kGpaLimit ||
      *size > kGpaLimit - *address) {
    return std::nullopt;
  }
  return GpaRange{Gpa{*address}, Gpa{*address} + *size};
}

/// Recursion is bounded by the depth of JSON that a connection accepts.
void collect_bars(const json& devices, std::vector<GpaRange>& bars) {
  if (!devices.is_array()) {
    return;
  }
  for (const json& device : devices) {
    if (const json* regions = qmp_member(device, "regions"); regions != nullptr && regions->is_array()) {
      for (const json& region : *regions) {
        if (const auto range = bar_range(region)) {
          bars.push_back(*range);
        }
      }
    }
    const json* bridge = qmp_member(device, "pci_bridge");
    if (const json* behind = bridge != nullptr ? qmp_member(*bridge, "devices") : nullptr;
        behind != nullptr) {
      collect_bars(*behind, bars);
    }
  }
}

} // namespace

Result<RunStatus> run_status_of(const json& query_status) {
  const json* running = qmp_member(query_status, "running");
  auto status = qmp_text(query_status, "status");
  if (running == nullptr || !running->is_boolean() || !status) {
    return bad_answer("query-status");
  }
  const auto known = std::ranges::find(kStates, *status, &State::name);
  const State state = known != kStates.end() ? *known : State{};
  return RunStatus{running->get<bool>(), std::move(*status), state.by_command, state.may_start,
                   state.memory_changes};
}

bool passes_soon(const RunStatus& status) {
  static constexpr std::array<std::string_view, 4> kPassing{"save-vm", "restore-vm", "finish-migrate",
                                                            "colo"};
  return std::ranges::find(kPassing, status.detail) != kPassing.end();
}

Result<std::vector<GpaRange>> pci_bars_of(const json& query_pci) {
  if (!query_pci.is_array()) {
    return bad_answer("query-pci");
  }
  std::vector<GpaRange> bars;
  for (const json& bus : query_pci) {
    if (const json* devices = qmp_member(bus, "devices"); devices != nullptr) {
      collect_bars(*devices, bars);
    }
  }
  std::ranges::sort(bars, {}, &GpaRange::begin);
  return bars;
}

Result<std::vector<std::string>> memory_backend_ids_of(const json& query_memdev) {
  if (!query_memdev.is_array()) {
    return bad_answer("query-memdev");
  }
  std::vector<std::string> ids;
  for (const json& backend : query_memdev) {
    if (auto id = qmp_text(backend, "id")) { // optional in QMP
      ids.push_back(std::move(*id));
    }
  }
  return ids;
}

Result<std::vector<VirtioMemDevice>> virtio_mem_devices_of(const json& query_memory_devices) {
  if (!query_memory_devices.is_array()) {
    return bad_answer("query-memory-devices");
  }
  std::vector<VirtioMemDevice> devices;
  for (const json& device : query_memory_devices) {
    const json* data = qmp_member(device, "data");
    if (qmp_text(device, "type") != "virtio-mem" || data == nullptr) {
      continue;
    }
    const auto address = qmp_number(*data, "memaddr");
    const auto plugged = qmp_number(*data, "size");
    const auto size = qmp_number(*data, "max-size");
    if (!address || !plugged || !size || *size == 0 || *address >= kGpaLimit ||
        *size > kGpaLimit - *address) {
      return bad_answer("query-memory-devices");
    }
    devices.push_back({{Gpa{*address}, Gpa{*address} + *size}, *plugged});
  }
  return devices;
}

Result<std::vector<QemuVcpu>> vcpus_of(const json& query_cpus_fast) {
  if (!query_cpus_fast.is_array()) {
    return bad_answer("query-cpus-fast");
  }
  if (query_cpus_fast.size() > VcpuSet::kMaxVcpus) {
    return fail(ErrorKind::source_failed, kOrigin,
                fmt::format("QEMU lists {} vCPUs, and at most {} are supported", query_cpus_fast.size(),
                            VcpuSet::kMaxVcpus));
  }
  std::vector<QemuVcpu> vcpus;
  for (const json& cpu : query_cpus_fast) {
    const auto index = qmp_number(cpu, "cpu-index");
    if (!index || *index >= VcpuSet::kMaxVcpus) {
      return bad_answer("query-cpus-fast");
    }
    const auto thread = qmp_number(cpu, "thread-id").value_or(0);
    vcpus.push_back(
        {VcpuId{static_cast<std::uint32_t>(*index)}, thread <= kMaxPid ? static_cast<pid_t>(thread) : 0});
  }
  return vcpus;
}

Result<std::string> name_of(const json& query_name) {
  if (!query_name.is_object()) {
    return bad_answer("query-name");
  }
  return qmp_text(query_name, "name").value_or("");
}

Result<std::string> uuid_of(const json& query_uuid) {
  static constexpr std::string_view kNone = "00000000-0000-0000-0000-000000000000";
  return only_text(query_uuid, "UUID", "query-uuid").map([](std::string&& uuid) {
    return uuid == kNone ? std::string{} : std::move(uuid);
  });
}

Result<std::string> architecture_of(const json& query_target) {
  return only_text(query_target, "arch", "query-target");
}

Result<std::vector<Chardev>> chardevs_of(const json& query_chardev) {
  if (!query_chardev.is_array()) {
    return bad_answer("query-chardev");
  }
  std::vector<Chardev> chardevs;
  for (const json& chardev : query_chardev) {
    auto id = qmp_text(chardev, "label");
    auto filename = qmp_text(chardev, "filename");
    if (!id || !filename) {
      return bad_answer("query-chardev");
    }
    chardevs.push_back({std::move(*id), std::move(*filename)});
  }
  return chardevs;
}

Result<std::optional<Hva>> hva_of(std::string_view gpa2hva) {
  // "Host virtual address for 0x1000 (pc.ram) is 0x7f2b4be01000"; the name in brackets may be anything.
  constexpr std::string_view kFound = "Host virtual address for 0x";
  constexpr std::string_view kIs = ") is 0x";
  const std::string_view line = trim(gpa2hva);
  if (line.starts_with(kFound)) {
    const std::size_t is = line.rfind(kIs);
    const auto value = is == std::string_view::npos ? std::nullopt : parse_hex(line.substr(is + kIs.size()));
    if (value && *value != 0) {
      return std::optional<Hva>{*value};
    }
  } else if (line.ends_with("is not RAM") || line.starts_with("No memory is mapped at address") ||
             line.starts_with("Error: No memory is mapped at address")) {
    return std::optional<Hva>{};
  }
  return fail(ErrorKind::source_failed, kOrigin,
              fmt::format("cannot parse QEMU's answer to 'gpa2hva': '{}'", printable(line)));
}

} // namespace vmemfs::qemu
