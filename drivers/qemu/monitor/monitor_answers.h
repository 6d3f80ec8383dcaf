// SPDX-License-Identifier: MIT
// Parsers of QEMU's answers to monitor commands. The answers are not trusted: every member is checked.
//
// Format: QEMU's QMP reference manual (qapi/*.json). Pure functions, thread-safe. Errors: source_failed if an
// answer does not have the expected form.
#pragma once

#include "core/error.h"
#include "core/gpa.h"
#include "driver/driver.h"
#include "drivers/qemu/monitor/chardev.h"
#include "drivers/qemu/monitor/virtio_mem_device.h"
#include "drivers/qemu/qemu_vcpu.h"
#include "host/hva.h"

#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace vmemfs::qemu {

[[nodiscard]] Result<RunStatus> run_status_of(const nlohmann::json& query_status);
/// True in a state that QEMU leaves by itself, and in which it accepts neither `stop` nor `cont`.
[[nodiscard]] bool passes_soon(const RunStatus& status);
[[nodiscard]] Result<std::vector<GpaRange>> pci_bars_of(const nlohmann::json& query_pci);
[[nodiscard]] Result<std::vector<std::string>> memory_backend_ids_of(const nlohmann::json& query_memdev);
[[nodiscard]] Result<std::vector<VirtioMemDevice>>
virtio_mem_devices_of(const nlohmann::json& query_memory_devices);
[[nodiscard]] Result<std::vector<QemuVcpu>> vcpus_of(const nlohmann::json& query_cpus_fast);
[[nodiscard]] Result<std::string> name_of(const nlohmann::json& query_name);
[[nodiscard]] Result<std::string> uuid_of(const nlohmann::json& query_uuid);
[[nodiscard]] Result<std::string> architecture_of(const nlohmann::json& query_target);
[[nodiscard]] Result<std::vector<Chardev>> chardevs_of(const nlohmann::json& query_chardev);

/// From the text of HMP `gpa2hva`; nullopt if the address is not RAM.
[[nodiscard]] Result<std::optional<Hva>> hva_of(std::string_view gpa2hva);

} // namespace vmemfs::qemu
