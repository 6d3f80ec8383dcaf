// SPDX-License-Identifier: MIT
// A QMP client of the tests' own: an independent source of truth, sharing no code with the driver.
#pragma once

#include "util/unique_fd.h"

#include <nlohmann/json.hpp>
#include <string>

namespace vmemfs::test {

/// Holds the monitor as long as it lives. Throws std::runtime_error on anything unexpected.
class TestMonitor {
public:
  explicit TestMonitor(const std::string& socket_path);

  nlohmann::json execute(const std::string& command,
                         const nlohmann::json& arguments = nlohmann::json::object());
  std::string human(const std::string& command_line);

private:
  nlohmann::json read_message();

  UniqueFd socket_;
  std::string received_;
};

} // namespace vmemfs::test
