// SPDX-License-Identifier: MIT
// Script of the stand-in: its device string, `TYPE://NAME=VALUE,...` with commas or semicolons.
//
//   file=PATH     the image (needed); `TYPE://PATH` is the same
//   volatile=1 write=1   as of LeechCore's device `file`
//   bad=A hole=A  page A fails; page A has no memory though the map shows it
//   crash=A hang=A exit=A   what happens when page A is read
//   create=refuse|silent|crash|hang   what happens when the device is opened
//   fork=1        a child that does nothing and keeps all descriptors; its pid goes to the log, "child PID"
//   latency=US    each scatter call takes so long
//   print=N       each scatter call prints N lines
//   map=none|garbage|binary|huge   of the memory map: none, or a text that is not one
//   log=PATH      a line for each scatter call: "read COUNT" or "write COUNT"
//
// The type `fpga` leaves out 0xa0000-0xfffff, and takes only what an FPGA does.
#pragma once

#include <cstdint>
#include <cstdlib>
#include <map>
#include <string>
#include <string_view>

namespace vmemfs::test::stand_in {

class Script {
public:
  explicit Script(std::string_view device) {
    const auto scheme = device.find("://");
    type_ = device.substr(0, scheme);
    std::string_view rest = scheme == std::string_view::npos ? "" : device.substr(scheme + 3);
    if (rest.find('=') == std::string_view::npos) {
      values_.emplace("file", rest);
      return;
    }
    while (!rest.empty()) {
      const auto end = rest.find_first_of(",;");
      const std::string_view item = rest.substr(0, end);
      const auto equals = item.find('=');
      values_.emplace(item.substr(0, equals),
                      equals == std::string_view::npos ? "" : item.substr(equals + 1));
      rest.remove_prefix(end == std::string_view::npos ? rest.size() : end + 1);
    }
  }

  [[nodiscard]] const std::string& type() const { return type_; }
  [[nodiscard]] std::string text(const std::string& name) const {
    const auto found = values_.find(name);
    return found == values_.end() ? "" : found->second;
  }
  [[nodiscard]] std::uint64_t number(const std::string& name, std::uint64_t fallback = 0) const {
    const auto found = values_.find(name);
    return found == values_.end() ? fallback : std::strtoull(found->second.c_str(), nullptr, 0);
  }

private:
  std::string type_;
  std::map<std::string, std::string> values_;
};

} // namespace vmemfs::test::stand_in
