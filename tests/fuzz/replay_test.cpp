// SPDX-License-Identifier: MIT
// Runs the files of tests/fuzz/corpus through their targets: an input that once crashed a parser stays a
// test.
#include "fuzz_targets.h" // generated: the functions, and kFuzzTargets with their names

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <gtest/gtest.h>
#include <iterator>
#include <string>
#include <vector>

namespace {

namespace fs = std::filesystem;

class Replay : public testing::TestWithParam<FuzzTarget> {
protected:
  static std::vector<fs::path> inputs() {
    std::vector<fs::path> found;
    for (const auto& entry : fs::directory_iterator{fs::path{VMEMFS_FUZZ_CORPUS} / GetParam().name}) {
      found.push_back(entry.path());
    }
    return found;
  }

  static std::string content(const fs::path& path) {
    std::ifstream file{path, std::ios::binary};
    return {std::istreambuf_iterator<char>{file}, {}};
  }

  static void run(const std::string& input) {
    GetParam().run(reinterpret_cast<const std::uint8_t*>(input.data()), input.size());
  }
};

std::string name_of(const testing::TestParamInfo<FuzzTarget>& info) { return info.param.name; }

TEST_P(Replay, CorpusFile_EndsWithoutCrash) {
  const auto paths = inputs();
  ASSERT_FALSE(paths.empty());
  for (const fs::path& path : paths) {
    SCOPED_TRACE(path);
    run(content(path));
  }
  run({});
}

/// Finds what grows faster than its input. The limit is far above the time that any needs, sanitizers
/// included.
TEST_P(Replay, CorpusFileRepeatedToOneMiB_EndsInTime) {
  constexpr std::size_t kSize = std::size_t{1} << 20;
  constexpr std::chrono::seconds kLimit{10};
  for (const fs::path& path : inputs()) {
    const std::string once = content(path);
    std::string input;
    while (!once.empty() && input.size() + once.size() <= kSize) {
      input += once;
    }
    const auto begin = std::chrono::steady_clock::now();
    run(input);
    EXPECT_LT(std::chrono::steady_clock::now() - begin, kLimit) << path;
  }
}

INSTANTIATE_TEST_SUITE_P(Targets, Replay, testing::ValuesIn(kFuzzTargets), name_of);

} // namespace
