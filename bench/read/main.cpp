// SPDX-License-Identifier: MIT
// Reader of files in turn, for benchmarks that are scripts:
//
//   read_bench [--rounds N] [--sample-ms N] [--patterns NAME,...] BEGIN END PID FILE [BEGIN END PID FILE]...
//
// In each round, each pattern is run on each FILE within [BEGIN, END) for one sample, by one reader; PID is
// the server whose CPU time counts, or 0. Prints a line of JSON per file: for each pattern a list of samples,
// one per round. The first round only warms up.
#include "../mount/measure.h"

#include <charconv>
#include <cstdio>
#include <exception>
#include <map>
#include <nlohmann/json.hpp>
#include <ranges>
#include <span>
#include <stdexcept>
#include <string_view>

namespace vmemfs::bench {
namespace {

constexpr std::size_t kWordsPerFile = 4;

struct File {
  std::string path;
  Area area;
};

struct Settings {
  int rounds = 5;
  std::chrono::milliseconds sample{350};
  std::vector<Pattern> patterns;
  std::vector<File> files;
};

const std::vector<Pattern>& known_patterns() {
  static const std::vector<Pattern> kKnown{
      {"seq 4K", 4096, false, 1, false},    {"seq 128K", 128 << 10, false, 1, false},
      {"seq 1M", 1 << 20, false, 1, false}, {"rand 4K", 4096, true, 1, true},
      {"8 bytes", 8, true, 1, true},
  };
  return kKnown;
}

std::uint64_t number(std::string_view text) {
  std::uint64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc{} || end != text.data() + text.size()) {
    throw std::runtime_error{"'" + std::string{text} + "' is not a number"};
  }
  return value;
}

std::vector<Pattern> patterns_named(std::string_view names) {
  std::vector<Pattern> found;
  for (const auto part : std::views::split(names, ',')) {
    const std::string_view name{part.begin(), part.end()};
    const auto pattern = std::ranges::find(known_patterns(), name, &Pattern::name);
    if (pattern == known_patterns().end()) {
      throw std::runtime_error{"there is no pattern '" + std::string{name} + "'"};
    }
    found.push_back(*pattern);
  }
  return found;
}

Settings parse(std::span<char*> words) {
  Settings settings;
  settings.patterns = known_patterns();
  while (words.size() >= 2 && std::string_view{words[0]}.starts_with("--")) {
    const std::string_view option = words[0];
    if (option == "--rounds") {
      settings.rounds = static_cast<int>(number(words[1]));
    } else if (option == "--sample-ms") {
      settings.sample = std::chrono::milliseconds{number(words[1])};
    } else if (option == "--patterns") {
      settings.patterns = patterns_named(words[1]);
    } else {
      throw std::runtime_error{"there is no option " + std::string{option}};
    }
    words = words.subspan(2);
  }
  if (words.empty() || words.size() % kWordsPerFile != 0) {
    throw std::runtime_error{"each file takes four words: BEGIN END PID FILE"};
  }
  for (; !words.empty(); words = words.subspan(kWordsPerFile)) {
    File file{words[3], {number(words[0]), number(words[1]), {}}};
    if (const auto pid = static_cast<pid_t>(number(words[2])); pid != 0) {
      file.area.servers.push_back(pid);
    }
    settings.files.push_back(std::move(file));
  }
  return settings;
}

nlohmann::json to_json(const Sample& sample) {
  return {{"bytes_per_second", sample.bytes_per_second},
          {"reads_per_second", sample.reads_per_second},
          {"cpu_seconds_per_gb", sample.cpu_seconds_per_gb},
          {"p50_us", sample.p50_us},
          {"p99_us", sample.p99_us}};
}

void run(const Settings& settings) {
  std::vector<nlohmann::json> results(settings.files.size());
  for (int round = -1; round < settings.rounds; ++round) {
    for (const Pattern& pattern : settings.patterns) {
      for (std::size_t i = 0; i < settings.files.size(); ++i) {
        const File& file = settings.files[i];
        const Sample sample = measure([&] { return std::make_unique<FileTarget>(file.path); }, pattern,
                                      file.area, settings.sample);
        if (round >= 0) {
          results[i][pattern.name].push_back(to_json(sample));
        }
      }
    }
  }
  for (const nlohmann::json& result : results) {
    std::puts(result.dump().c_str());
  }
}

} // namespace
} // namespace vmemfs::bench

int main(int argc, char** argv) try {
  vmemfs::bench::run(vmemfs::bench::parse(std::span{argv + 1, static_cast<std::size_t>(argc - 1)}));
} catch (const std::exception& exception) {
  std::fprintf(stderr, "read_bench: %s\n", exception.what());
  return 1;
}
