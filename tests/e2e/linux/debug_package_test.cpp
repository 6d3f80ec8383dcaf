// SPDX-License-Identifier: MIT
// Symbols and types of a running kernel against those of its debug package. Run by
// tests/e2e/linux/debug_package.
#include "kernel_files.h"

#include <algorithm>
#include <cstddef>
#include <cstdlib>
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <iostream>
#include <map>
#include <sstream>
#include <string>
#include <utility>

namespace vmemfs::test {
namespace {

/// nm's form: address, type, name.
using Symbols = std::map<std::pair<std::string, std::string>, char>;

Symbols symbols_of(const std::string& text) {
  Symbols symbols;
  std::istringstream lines{text};
  for (std::string line; std::getline(lines, line);) {
    std::istringstream fields{line};
    std::string address;
    char type = 0;
    std::string name;
    if (!line.starts_with(' ') && fields >> address >> type >> name) { // else it is undefined
      symbols[{address, name}] = type;
    }
  }
  return symbols;
}

/// First words of names, such as `__crc`, and how many have each.
std::map<std::string, std::size_t> counted_by_word(const Symbols& symbols, const Symbols& without) {
  std::map<std::string, std::size_t> counted;
  for (const auto& [key, type] : symbols) {
    if (!without.contains(key)) {
      const std::string& name = key.second;
      ++counted[name.substr(0, name.find('_', std::min(name.find_first_not_of('_'), name.size())))];
    }
  }
  return counted;
}

class DebugPackage : public KernelFiles {
protected:
  [[nodiscard]] static std::string vmlinux() {
    const char* const file = std::getenv("VMEMFS_DEBUG_VMLINUX");
    return file != nullptr ? file : "";
  }
};

TEST_F(DebugPackage, DISABLED_SymbolsAndTypes_AreThoseOfTheKernelFile) {
  ASSERT_NE(vmlinux(), "") << "run tests/e2e/linux/debug_package";
  boot({"-smp", "2"});
  if (IsSkipped()) {
    return;
  }
  ASSERT_THAT(run({"readelf", "-n", vmlinux()}).text,
              testing::HasSubstr(info()["build_id"].get<std::string>()))
      << "another build";

  const Symbols ours = symbols_of(read_file(path("System.map")));
  const Symbols all = symbols_of(run({"nm", vmlinux()}).text);
  std::size_t other_types = 0;
  for (const auto& [key, type] : ours) {
    const auto same = all.find(key);
    EXPECT_TRUE(same != all.end()) << key.first << " " << key.second;
    other_types += same != all.end() && same->second != type ? 1 : 0;
  }
  std::cout << fmt::format("{}: {} symbols, {} of them with another letter than nm's; nm has {}\n",
                           info()["release"].get<std::string>(), ours.size(), other_types, all.size());
  for (const auto& [word, count] : counted_by_word(all, ours)) {
    if (constexpr std::size_t kMany = 20; count >= kMany) {
      std::cout << fmt::format("  only in nm: {} {}_...\n", count, word);
    }
  }
  EXPECT_GT(ours.size(), 50'000U);

  const TempDir dir;
  ASSERT_EQ(run({"objcopy", "--only-section=.BTF", "--dump-section", ".BTF=" + (dir / "types"), vmlinux(),
                 dir / "copy"})
                .code,
            0);
  const std::string types = read_file(dir / "types");
  EXPECT_TRUE(types == read_file(path("btf/vmlinux"))) << "of " << types.size() << " bytes";
  std::cout << fmt::format("  types: {} bytes\n", types.size());
}

} // namespace
} // namespace vmemfs::test
