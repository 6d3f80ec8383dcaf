// SPDX-License-Identifier: MIT
// The unit packaging/vmemfs.service against what the drivers declare.
#include "drivers/all_drivers.h"
#include "fs/privileges/unit_settings.h"
#include "support/files.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <linux/capability.h>
#include <map>
#include <set>
#include <sstream>

namespace vmemfs {
namespace {

/// Setting -> its words, of all its lines; without lists of what is refused (`~`).
using Settings = std::map<std::string, std::set<std::string>>;

void add_line(Settings& settings, const std::string& line) {
  const auto equals = line.find('=');
  if (equals == std::string::npos || line.starts_with('#') || line.substr(equals + 1).starts_with('~')) {
    return;
  }
  const std::string key = line.substr(0, equals);
  std::istringstream words{line.substr(equals + 1)};
  for (std::string word; words >> word;) {
    settings[key].insert(word);
  }
}

Settings settings_of_unit() {
  Settings settings;
  std::istringstream text{test::read_file(VMEMFS_SOURCE_DIR "/packaging/vmemfs.service")};
  for (std::string line; std::getline(text, line);) {
    add_line(settings, line);
  }
  return settings;
}

Settings settings_of_drivers() {
  Needs all;
  for (const DriverType* const type : all_drivers()) {
    all.add(type->needs({}));
  }
  Settings settings;
  for (const std::string& line : unit_settings(all)) {
    add_line(settings, line);
  }
  return settings;
}

TEST(Unit, HasExactlyTheNeedsOfTheDrivers) {
  const Settings unit = settings_of_unit();
  for (const auto& [key, words] : settings_of_drivers()) {
    ASSERT_TRUE(unit.contains(key)) << key;
    if (absent_drivers().empty()) {
      EXPECT_EQ(unit.at(key), words) << key;
    } else {
      EXPECT_THAT(unit.at(key), testing::IsSupersetOf(words)) << key;
    }
  }
}

TEST(UnitSettings, NetworkAndWhatComesWithIt_AreLeftOut) {
  const auto lines = unit_settings({.network = true,
                                    .capabilities = {{CAP_SETPCAP, "ssh", true}, {CAP_BPF, "programs"}},
                                    .system_calls = {{"bpf", "programs"}},
                                    .devices = {{"/dev/kvm", "guests"}}});
  EXPECT_THAT(lines, testing::ElementsAre("CapabilityBoundingSet=CAP_SYS_ADMIN CAP_BPF",
                                          "AmbientCapabilities=CAP_SYS_ADMIN CAP_BPF",
                                          "DeviceAllow=/dev/fuse rw", "DeviceAllow=/dev/kvm rw",
                                          "SystemCallFilter=@system-service @mount seccomp bpf"));
}

} // namespace
} // namespace vmemfs
