// SPDX-License-Identifier: MIT
// Format: QEMU's QMP reference manual (qapi/*.json) of 0.14 to 4.1. Answers are not trusted.
#include "drivers/pmemaccess/monitor/qemu_monitor.h"
#include "drivers/qemu_protocol/qmp_values.h"

#include <algorithm>
#include <array>
#include <cstdint>
#include <fmt/format.h>
#include <nlohmann/json.hpp>
#include <optional>
#include <thread>
#include <utility>
#include <vector>

namespace vmemfs::pmemaccess {
namespace {

using nlohmann::json;

constexpr std::string_view kOrigin = "pmemaccess";
constexpr std::chrono::milliseconds kStatePoll{2};

tl::unexpected<Error> bad_answer(std::string_view command) {
  return fail(ErrorKind::source_failed, kOrigin,
              fmt::format("QEMU's answer to '{}' does not have the expected form", command));
}

/// States in which no vCPU runs, other than those that the VM is in for a reason of its own.
struct State {
  std::string_view name;
  bool may_start = false;
  bool memory_changes = false;
};
constexpr std::array kCommanded = std::to_array<State>({
    {"paused"},
    {"prelaunch"},
    {"inmigrate", true, true},
    {"finish-migrate", true},
    {"save-vm", true},
    {"restore-vm", true, true},
});

Result<RunStatus> run_status_of(const json& answer) {
  const json* running = qmp_member(answer, "running");
  if (running == nullptr || !running->is_boolean()) {
    return bad_answer("query-status");
  }
  const bool runs = running->get<bool>();
  auto name = qmp_text(answer, "status").value_or(runs ? "running" : "paused"); // QEMU 0.14 has none
  const auto known = std::ranges::find(kCommanded, name, &State::name);
  const bool commanded = known != kCommanded.end();
  return RunStatus{runs, std::move(name), commanded, commanded && known->may_start,
                   commanded && known->memory_changes};
}

/// `key`: of the index, which query-cpus-fast and query-cpus call differently.
Result<VcpuSet> vcpus_of(const json& answer, const char* key) {
  std::vector<VcpuId> ids;
  if (!answer.is_array() || answer.size() > VcpuSet::kMaxVcpus) {
    return bad_answer("query-cpus");
  }
  for (const json& cpu : answer) {
    const json* index = qmp_member(cpu, key);
    if (index == nullptr || !index->is_number_unsigned() ||
        index->get<std::uint64_t>() >= VcpuSet::kMaxVcpus) {
      return bad_answer("query-cpus");
    }
    ids.emplace_back(index->get<std::uint32_t>());
  }
  return VcpuSet::of(std::move(ids), kOrigin);
}

} // namespace

Result<void> MonitorSession::open_memory(const std::string& path) {
  auto done = connection_->execute("pmemaccess", json{{"path", path}}, deadline_);
  if (!done && done.error().kind == ErrorKind::unsupported) {
    return fail(ErrorKind::unsupported, kOrigin,
                fmt::format("QEMU {} does not have LibVMI's pmemaccess patch; the driver qemu needs none",
                            qemu_version()));
  }
  return done.map([](const json&) {});
}

Result<RunStatus> MonitorSession::run_status() {
  return connection_->execute("query-status", nullptr, deadline_).and_then(run_status_of);
}

Result<RunStatus> MonitorSession::stop() {
  auto before = run_status();
  if (!before || !(before->running || before->may_start)) {
    return before;
  }
  if (const auto done = connection_->execute("stop", nullptr, deadline_); !done) {
    return tl::unexpected{done.error()};
  }
  return run_status();
}

/// Asks first, because QEMU reports a resume that did not happen if `cont` comes while the VM runs.
Result<RunStatus> MonitorSession::cont() {
  auto status = run_status();
  if (!status || status->running) {
    return status;
  }
  if (const auto done = connection_->execute("cont", nullptr, deadline_); !done) {
    return tl::unexpected{done.error()};
  }
  for (;; std::this_thread::sleep_for(kStatePoll)) {
    status = run_status();
    if (!status || status->running || status->detail == "inmigrate") {
      return status;
    }
    if (Clock::now() >= deadline_) {
      return fail(ErrorKind::timed_out, kOrigin,
                  fmt::format("QEMU accepted 'cont', but the VM is still '{}'", status->detail));
    }
  }
}

Result<std::string> MonitorSession::mtree() { return connection_->human("info mtree -f", deadline_); }

Result<std::string> MonitorSession::registers_text() {
  return connection_->human("info registers -a", deadline_);
}

Result<VcpuSet> MonitorSession::vcpus() {
  auto fast = connection_->execute("query-cpus-fast", nullptr, deadline_);
  if (fast) {
    return vcpus_of(*fast, "cpu-index");
  }
  if (fast.error().kind != ErrorKind::unsupported) {
    return tl::unexpected{std::move(fast.error())};
  }
  // Up to QEMU 2.11. It stops each vCPU for a moment.
  return connection_->execute("query-cpus", nullptr, deadline_).and_then([](const json& answer) {
    return vcpus_of(answer, "CPU");
  });
}

Result<std::string> MonitorSession::name() {
  return connection_->execute("query-name", nullptr, deadline_).map([](const json& answer) {
    return qmp_text(answer, "name").value_or("");
  });
}

Result<std::string> MonitorSession::uuid() {
  static constexpr std::string_view kNone = "00000000-0000-0000-0000-000000000000";
  return connection_->execute("query-uuid", nullptr, deadline_).map([](const json& answer) {
    auto uuid = qmp_text(answer, "UUID").value_or("");
    return uuid == kNone ? std::string{} : uuid;
  });
}

Result<std::string> MonitorSession::architecture() {
  return connection_->execute("query-target", nullptr, deadline_).map([](const json& answer) {
    return qmp_text(answer, "arch").value_or("");
  });
}

Result<bool> MonitorSession::uses_kvm() {
  return connection_->execute("query-kvm", nullptr, deadline_)
      .and_then([](const json& answer) -> Result<bool> {
        const json* enabled = qmp_member(answer, "enabled");
        return enabled != nullptr && enabled->is_boolean() ? Result<bool>{enabled->get<bool>()}
                                                           : bad_answer("query-kvm");
      });
}

Result<bool> MonitorSession::migrates() {
  return connection_->execute("query-migrate", nullptr, deadline_).map([](const json& answer) {
    const auto status = qmp_text(answer, "status").value_or("none");
    return status != "none" && status != "completed" && status != "failed" && status != "cancelled";
  });
}

} // namespace vmemfs::pmemaccess
