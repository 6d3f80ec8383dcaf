// SPDX-License-Identifier: MIT
// A kernel of 64 KiB for fuzzers, with the types of linux/made_types.h. The input says what is in it: records
// of the number of a word (16 bits) and its value (64 bits). With the highest bit of the number the value is
// an offset in the kernel instead, and the word its address. The first structure is init_task.
#pragma once

#include "fuzz/fuzz_target.h"
#include "linux/kernel_memory.h"
#include "linux/made_types.h"
#include "linux/running_kernel.h"
#include "util/work_limit.h"

#include <algorithm>
#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <string>
#include <string_view>

namespace vmemfs::fuzz {

class PatchedKernel final : public KernelMemory {
public:
  static constexpr std::uint64_t kBase = 0xffff888000000000;
  static constexpr std::uint64_t kWords = 8192;
  static constexpr std::uint64_t kSocketOperations = kBase + 8 * (kWords - 1);

  explicit PatchedKernel(std::string_view records) {
    struct Record {
      std::uint16_t word;
      std::uint64_t value;
    };
    constexpr std::size_t kRecord = sizeof(std::uint16_t) + sizeof(std::uint64_t);
    constexpr std::uint16_t kIsOffset = 0x8000;
    for (; records.size() >= kRecord; records.remove_prefix(kRecord)) {
      Record record{};
      std::memcpy(&record.word, records.data(), sizeof record.word);
      std::memcpy(&record.value, records.data() + sizeof record.word, sizeof record.value);
      words_.at(record.word % kWords) =
          (record.word & kIsOffset) != 0 ? kBase + record.value % (8 * kWords) : record.value;
    }
  }

  std::size_t read(std::uint64_t address, std::span<std::byte> buffer) override {
    const auto bytes = std::as_bytes(std::span{words_});
    if (address < kBase || address - kBase >= bytes.size()) {
      return 0;
    }
    const auto found = bytes.subspan(address - kBase);
    const std::size_t size = std::min(buffer.size(), found.size());
    std::copy_n(found.begin(), size, buffer.begin());
    return size;
  }
  std::size_t read_user(std::uint64_t /*top_table*/, std::uint64_t /*address*/,
                        std::span<std::byte> /*buffer*/) override {
    return 0;
  }

  /// Makes a list of it and checks its form: `columns` in each line, and a last line that says whether it is
  /// complete.
  void check_list(Result<std::string> (*make)(const RunningKernel&), Made::MountsAre mounts,
                  std::ptrdiff_t columns) {
    static const auto tree_types = Made::types(Made::MountsAre::tree);
    static const auto list_types = Made::types(Made::MountsAre::list);
    static const KernelSymbols symbols{{{kBase, 9, 'D'}, {kSocketOperations, 24, 'd'}},
                                       "init_tasksocket_file_ops"};
    const Vmcoreinfo info{.text = {}, .swapper_pg_dir = 0};
    const WorkLimit limit{WorkLimit::Clock::now() + std::chrono::seconds{2}};
    const auto& types = mounts == Made::MountsAre::tree ? *tree_types : *list_types;
    const auto list = make({*this, symbols, types, info});
    if (list) {
      check_text(*list, columns);
    }
  }

private:
  static void check_text(std::string_view text, std::ptrdiff_t columns) {
    expect(text.ends_with('\n'), "lines are whole");
    expect(std::ranges::all_of(text, [](char c) { return (c >= ' ' && c <= '~') || c == '\n' || c == '\t'; }),
           "all of it is printable");
    while (!text.empty()) {
      const std::size_t end = text.find('\n');
      const std::string_view line = text.substr(0, end);
      text.remove_prefix(end + 1);
      if (text.empty()) {
        expect(line.starts_with("# complete: ") || line.starts_with("# incomplete: "),
               "the last line says it");
      } else {
        expect(std::ranges::count(line, '\t') + 1 == columns, "a row has all columns");
      }
    }
  }

  std::array<std::uint64_t, kWords> words_{};
};

} // namespace vmemfs::fuzz
