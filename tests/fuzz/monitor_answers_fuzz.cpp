// SPDX-License-Identifier: MIT
// Answers of a QEMU monitor: each parser gets every one.
#include "drivers/qemu/monitor/monitor_answers.h"
#include "fuzz/fuzz_target.h"

#include <nlohmann/json.hpp>

FUZZ_TARGET(text) {
  using namespace vmemfs::qemu;
  static_cast<void>(hva_of(text));
  // No deeper than a connection accepts.
  const auto shallow = [](int depth, nlohmann::json::parse_event_t, const nlohmann::json&) {
    return depth <= 64;
  };
  const auto answer = nlohmann::json::parse(text, shallow, false);
  static_cast<void>(run_status_of(answer));
  static_cast<void>(memory_backend_ids_of(answer));
  static_cast<void>(vcpus_of(answer));
  static_cast<void>(name_of(answer));
  static_cast<void>(uuid_of(answer));
  static_cast<void>(architecture_of(answer));
  static_cast<void>(chardevs_of(answer));
  const auto bars = pci_bars_of(answer);
  for (std::size_t i = 0; bars && i < bars->size(); ++i) {
    vmemfs::fuzz::expect(!(*bars)[i].empty(), "no BAR is empty");
  }
}
