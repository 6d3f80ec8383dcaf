// SPDX-License-Identifier: MIT
// Runs the files of tests/fuzz/corpus through their targets: an input that once crashed a parser stays a
// test.
#include "fuzz_targets.h" // generated: the functions, and kFuzzTargets with their names

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <ctime>
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
    // libFuzzer too reads folders in folders.
    for (const auto& entry :
         fs::recursive_directory_iterator{fs::path{VMEMFS_FUZZ_CORPUS} / GetParam().name}) {
      if (!entry.is_regular_file()) {
        continue;
      }
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

std::chrono::nanoseconds cpu_time() {
  timespec time{};
  ::clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time);
  return std::chrono::seconds{time.tv_sec} + std::chrono::nanoseconds{time.tv_nsec};
}

/// Finds what takes time that grows faster than its input. An optimized build takes at most 0.2 s.
TEST_P(Replay, CorpusFileRepeatedToOneMiB_EndsInTime) {
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
  GTEST_SKIP() << "the time says nothing under a sanitizer";
#endif
  constexpr std::size_t kSize = std::size_t{1} << 20;
  constexpr std::chrono::seconds kLimit{5};
  for (const fs::path& path : inputs()) {
    const std::string once = content(path);
    std::string input;
    while (!once.empty() && input.size() + once.size() <= kSize) {
      input += once;
    }
    const auto begin = cpu_time();
    run(input);
    EXPECT_LT(cpu_time() - begin, kLimit) << path;
  }
}

INSTANTIATE_TEST_SUITE_P(Targets, Replay, testing::ValuesIn(kFuzzTargets), name_of);

} // namespace
