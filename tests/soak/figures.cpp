// SPDX-License-Identifier: MIT
#include "soak/figures.h"

#include <cctype>
#include <filesystem>
#include <fmt/format.h>
#include <fstream>
#include <sstream>
#include <string_view>
#include <unistd.h>

namespace vmemfs::test {
namespace {

std::size_t entries(const std::string& directory) {
  std::size_t count = 0;
  std::error_code gone;
  for (std::filesystem::directory_iterator entry{directory, gone}, end; !gone && entry != end;
       entry.increment(gone)) {
    ++count;
  }
  return count;
}

/// What follows the name in /proc/PID/stat: state, parent and so on.
std::vector<std::string> stat_fields(const std::string& proc) {
  std::ifstream file{proc + "/stat"};
  std::string line;
  std::getline(file, line);
  std::istringstream rest{
      line.substr(line.rfind(')') == std::string::npos ? line.size() : line.rfind(')') + 1)};
  std::vector<std::string> fields;
  for (std::string field; rest >> field;) {
    fields.push_back(field);
  }
  return fields;
}

} // namespace

ProcessFigures figures_of(pid_t pid) {
  const std::string proc = fmt::format("/proc/{}", pid);
  ProcessFigures figures;
  std::ifstream status{proc + "/status"};
  for (std::string line; std::getline(status, line);) {
    constexpr std::string_view kField = "VmRSS:";
    if (line.starts_with(kField)) {
      figures.rss_kib = std::stoull(line.substr(kField.size()));
    }
  }
  figures.descriptors = entries(proc + "/fd");
  figures.threads = entries(proc + "/task");
  constexpr std::size_t kUserTime = 11;
  if (const auto fields = stat_fields(proc); fields.size() > kUserTime + 1) {
    figures.cpu_seconds =
        static_cast<double>(std::stoull(fields[kUserTime]) + std::stoull(fields[kUserTime + 1])) /
        static_cast<double>(::sysconf(_SC_CLK_TCK));
  }
  return figures;
}

std::vector<std::string> zombies() {
  std::vector<std::string> names;
  for (const auto& entry : std::filesystem::directory_iterator{"/proc"}) {
    const std::string pid = entry.path().filename();
    if (std::isdigit(static_cast<unsigned char>(pid.front())) == 0) {
      continue;
    }
    if (const auto fields = stat_fields(entry.path()); !fields.empty() && fields.front() == "Z") {
      std::ifstream comm{entry.path() / "comm"};
      std::string name;
      std::getline(comm, name);
      names.push_back(fmt::format("{} ({}, child of {})", name, pid, fields[1]));
    }
  }
  return names;
}

} // namespace vmemfs::test
