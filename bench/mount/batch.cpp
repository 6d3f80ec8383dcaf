// SPDX-License-Identifier: MIT
#include "batch.h"

#include "util/unique_fd.h"

#include <array>
#include <cerrno>
#include <chrono>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <fcntl.h>
#include <memory>
#include <random>
#include <span>
#include <stdexcept>
#include <system_error>
#include <unistd.h>

namespace vmemfs::bench {
namespace {

constexpr std::size_t kPage = 4096;
constexpr std::size_t kMaxAnswer = (kPage + 16) * kBatchRanges;

struct Pair {
  std::uint64_t address;
  std::uint64_t length;
};
struct Request {
  std::array<char, 8> magic{'V', 'M', 'B', 'A', 'T', 'C', 'H', '1'};
  std::array<Pair, kBatchRanges> pairs;
};
static_assert(sizeof(Request) == 8 + 16 * kBatchRanges);

UniqueFd open_file(const std::string& path, int flags) {
  UniqueFd fd{::open(path.c_str(), flags | O_CLOEXEC)};
  if (!fd) {
    throw std::system_error{errno, std::generic_category(), path};
  }
  return fd;
}

/// All ways, with a buffer that is reused.
class Reader {
public:
  Reader(const std::string& vm, const MakeTarget& native, std::size_t length)
      : length_{length}, mem_{open_file(vm + "/mem", O_RDONLY)}, batch_{open_file(vm + "/batch", O_RDWR)},
        native_{native ? native() : nullptr} {}

  void preads() {
    std::byte* into = buffer_.get();
    for (const Pair& pair : request_.pairs) {
      if (::pread(mem_.get(), into, length_, static_cast<off_t>(pair.address)) !=
          static_cast<ssize_t>(length_)) {
        throw std::runtime_error{"mem: a short read"};
      }
      into += length_;
    }
  }
  void native() {
    std::byte* into = buffer_.get();
    for (const Pair& pair : request_.pairs) {
      if (native_ != nullptr) {
        native_->read(pair.address, into, length_);
      }
      into += length_;
    }
  }
  void batch() {
    if (::pwrite(batch_.get(), &request_, sizeof request_, 0) != sizeof request_) {
      throw std::system_error{errno, std::generic_category(), "batch"};
    }
    poll();
  }
  void poll() {
    if (::pread(batch_.get(), buffer_.get(), kMaxAnswer, 0) !=
        static_cast<ssize_t>((length_ + 16) * kBatchRanges)) {
      throw std::runtime_error{"batch: a short answer"};
    }
  }
  void choose_pages(std::mt19937_64& random, const Area& area) {
    const std::uint64_t pages = (area.end - area.begin) / kPage;
    for (Pair& pair : request_.pairs) {
      pair = {area.begin + random() % pages * kPage, length_};
    }
  }
  /// The guest is paused, so both give the same bytes.
  void check() {
    preads();
    const std::vector<std::byte> wanted{buffer_.get(), buffer_.get() + length_ * kBatchRanges};
    batch();
    if (std::memcmp(wanted.data(), buffer_.get(), wanted.size()) != 0) {
      throw std::runtime_error{"batch: other bytes than mem"};
    }
  }

private:
  const std::size_t length_;
  UniqueFd mem_;
  UniqueFd batch_;
  std::unique_ptr<Target> native_;
  Request request_{};
  std::unique_ptr<std::byte, decltype(&std::free)> buffer_{
      static_cast<std::byte*>(std::aligned_alloc(kPage, (kMaxAnswer + kPage - 1) / kPage * kPage)),
      &std::free};
};

} // namespace

BatchFigures compare_batch(const std::string& vm, const MakeTarget& native, const Area& area,
                           std::size_t length, int rounds) {
  constexpr int kTimes = 21; // of each way in a round
  Reader reader{vm, native, length};
  std::mt19937_64 random{1};
  const auto median_us = [&](bool other_pages, void (Reader::*way)()) {
    std::vector<double> times;
    for (int i = 0; i < kTimes; ++i) {
      if (other_pages) {
        reader.choose_pages(random, area);
      }
      const auto begin = std::chrono::steady_clock::now();
      (reader.*way)();
      times.push_back(
          std::chrono::duration<double, std::micro>{std::chrono::steady_clock::now() - begin}.count());
    }
    return median(std::move(times));
  };
  std::vector<double> preads;
  std::vector<double> batches;
  std::vector<double> polls;
  std::vector<double> ratios;
  std::vector<double> natives;
  std::vector<double> native_ratios;
  reader.choose_pages(random, area);
  reader.check();
  for (int round = 0; round < rounds; ++round) {
    preads.push_back(median_us(true, &Reader::preads));
    batches.push_back(median_us(true, &Reader::batch));
    polls.push_back(median_us(false, &Reader::poll));
    ratios.push_back(preads.back() / batches.back());
    natives.push_back(median_us(true, &Reader::native));
    native_ratios.push_back(natives.back() / batches.back());
  }
  return {median(std::move(preads)), median(std::move(batches)), median(std::move(polls)),
          median(std::move(ratios)), median(std::move(natives)), median(std::move(native_ratios))};
}

} // namespace vmemfs::bench
