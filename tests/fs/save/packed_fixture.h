// SPDX-License-Identifier: MIT
// A file with guest memory as a mount has it, to be saved in a packed format.
#pragma once

#include "fs/save/image/memory_source.h"
#include "fs/save/packed/packed_copy.h"
#include "fs/save/packed/packed_formats.h"
#include "support/child_process.h"
#include "support/files.h"
#include "util/unique_fd.h"

#include <array>
#include <atomic>
#include <cstdint>
#include <cstring>
#include <fcntl.h>
#include <gtest/gtest.h>
#include <random>
#include <string>
#include <thread>
#include <unistd.h>
#include <vector>

namespace vmemfs::test {

struct TestRange {
  std::uint64_t begin;
  std::string memory;
};

class PackedImages : public testing::Test {
protected:
  static constexpr std::size_t kMiB = std::size_t{1} << 20U;
  static constexpr std::size_t kPage = 4096;

  /// A short range, one of more than a block of AVML (random bytes, text, a hole of 6 MiB, pages of zeros
  /// between pages of data), and one at 4 GiB that is all zeros.
  PackedImages() {
    std::mt19937 random{42};
    std::string large(17 * kMiB + 3 * kPage, '\0');
    for (std::size_t i = 0; i < 2 * kMiB + 5; ++i) {
      large[i] = static_cast<char>(random());
    }
    for (std::size_t i = 8 * kMiB; i < large.size(); ++i) {
      if (i / kPage % 3 != 0) {
        large[i] = static_cast<char>('a' + i / 7 % 26);
      }
    }
    ranges_ = {{0x1000, std::string(39 * kPage, 'x')}, {0x100000, std::move(large)}};
    ranges_.push_back({std::uint64_t{4} << 30U, std::string(2 * kMiB, '\0')});
  }

  MemorySource source(const std::string& path) const {
    return {UniqueFd{::open(path.c_str(), O_RDONLY | O_CLOEXEC)}, path, read_file(path).size()};
  }

  Result<WrittenImage> save(SaveFormat format, const std::string& from, const PackedOutput& output,
                            unsigned threads) {
    MemorySource memory = source(from);
    auto image = make_packed_image(format, memory, output);
    if (!image) {
      return tl::unexpected{image.error()};
    }
    PackedCopy copy{{memory, image->chunks, *image->writer, unreadable_, progress_, [this] { ++ends_; }},
                    threads};
    return copy.run(stop_.get_token());
  }

  /// Into a new file of this name.
  Result<WrittenImage> save_to(SaveFormat format, const std::string& from, const std::string& path,
                               unsigned threads = 2) {
    const UniqueFd file{::open(path.c_str(), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600)};
    return save(format, from, {file.get(), path, true}, threads);
  }

  /// Into a pipe that is read to its end.
  std::string save_to_pipe(SaveFormat format, const std::string& from) {
    std::array<int, 2> ends{};
    EXPECT_EQ(::pipe2(ends.data(), O_CLOEXEC), 0);
    const UniqueFd out{ends[0]};
    UniqueFd in{ends[1]};
    std::string got;
    std::jthread reader{[&] {
      std::array<char, 65536> part{};
      for (ssize_t size = 0; (size = ::read(out.get(), part.data(), part.size())) > 0;) {
        got.append(part.data(), static_cast<std::size_t>(size));
      }
    }};
    const auto written = save(format, from, {in.get(), "pipe", false}, 3);
    in.reset();
    reader.join();
    EXPECT_TRUE(written) << written.error().text;
    if (written) {
      EXPECT_EQ(written->bytes, got.size());
      write_file(dir_ / "piped", got);
      EXPECT_EQ(written->sha256, sha256sum(dir_ / "piped"));
    }
    return got;
  }

  static std::string sha256sum(const std::string& path) {
    return run({"sha256sum", path}).text.substr(0, 64);
  }

  TempDir dir_;
  std::vector<TestRange> ranges_;
  UnreadableRanges unreadable_;
  CopyProgress progress_;
  std::atomic<int> ends_ = 0;
  std::stop_source stop_;
};

} // namespace vmemfs::test
