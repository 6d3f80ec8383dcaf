// SPDX-License-Identifier: MIT
#include "soak/healthy_vm.h"

#include "guests/tiny/layout.h"
#include "support/files.h"
#include "util/unique_fd.h"

#include <algorithm>
#include <cstddef>
#include <cstring>
#include <fcntl.h>
#include <filesystem>
#include <fmt/format.h>

namespace vmemfs::test {
namespace {

using namespace std::chrono_literals;

constexpr std::uint64_t kFillEnd = 40U << 20; ///< below what firmware keeps at the end of RAM
constexpr std::size_t kPage = 4096;
/// A reader that takes longer than this hangs.
constexpr std::chrono::seconds kHang{20};

std::uint64_t microseconds(std::chrono::steady_clock::duration time) {
  return static_cast<std::uint64_t>(std::chrono::duration_cast<std::chrono::microseconds>(time).count());
}

std::uint64_t word(const std::vector<std::byte>& bytes, std::size_t at) {
  std::uint64_t value = 0;
  std::memcpy(&value, bytes.data() + at, sizeof(value));
  return value;
}

std::pair<std::uint64_t, std::uint64_t> median_and_max(std::vector<std::uint64_t>& times) {
  if (times.empty()) {
    return {0, 0};
  }
  std::ranges::sort(times);
  return {times[times.size() / 2], times.back()};
}

/// Sleeps, but not past a stop.
void rest(const std::stop_token& stop, std::chrono::milliseconds time) {
  for (const auto end = std::chrono::steady_clock::now() + time;
       !stop.stop_requested() && std::chrono::steady_clock::now() < end;) {
    std::this_thread::sleep_for(std::min<std::chrono::milliseconds>(time, 100ms));
  }
}

} // namespace

HealthyVm::HealthyVm(Faults& faults)
    : faults_{faults}, guest_{{.memory = "64M", .fill = "all", .name = kName}} {}

std::string HealthyVm::spec() const {
  return fmt::format("{}=qemu:pid={},qmp={}", kName, guest_.pid(), guest_.driver_socket());
}

void HealthyVm::start(const std::string& mountpoint) {
  mountpoint_ = mountpoint;
  last_sign_ = Clock::now();
  threads_.emplace_back([this](const std::stop_token& stop) { measure(stop); });
  threads_.emplace_back([this](const std::stop_token& stop) { compare(stop); });
  threads_.emplace_back([this](const std::stop_token& stop) { watch(stop); });
}

Latencies HealthyVm::latencies() {
  const std::scoped_lock lock{mutex_};
  Latencies result;
  std::tie(result.ls_median, result.ls_max) = median_and_max(ls_);
  std::tie(result.read_median, result.read_max) = median_and_max(reads_);
  ls_.clear();
  reads_.clear();
  return result;
}

void HealthyVm::measure(const std::stop_token& stop) {
  std::mt19937 dice{1};
  while (!stop.stop_requested()) {
    list_root();
    read_page(dice);
    last_sign_ = Clock::now();
    rest(stop, 500ms);
  }
}

void HealthyVm::watch(const std::stop_token& stop) {
  while (!stop.stop_requested()) {
    rest(stop, 1s);
    if (Clock::now() - last_sign_.load() > kHang) {
      faults_.add("ls or a read of the healthy VM hangs");
      last_sign_ = Clock::now();
    }
  }
}

void HealthyVm::list_root() {
  const auto begin = Clock::now();
  std::error_code error;
  bool is_there = false;
  for (std::filesystem::directory_iterator entry{mountpoint_, error}, end; !error && entry != end;
       entry.increment(error)) {
    std::error_code gone;
    static_cast<void>(std::filesystem::status(entry->path(), gone));
    is_there = is_there || entry->path().filename() == kName;
  }
  const auto time = microseconds(Clock::now() - begin);
  if (error || !is_there) {
    faults_.add("ls: " + (error ? error.message() : "the healthy VM is not there"));
  }
  const std::scoped_lock lock{mutex_};
  ls_.push_back(time);
}

void HealthyVm::read_page(std::mt19937& dice) {
  const std::uint64_t page = TG_FILL_START / kPage + dice() % ((kFillEnd - TG_FILL_START) / kPage);
  const auto begin = Clock::now();
  const UniqueFd memory{::open((mountpoint_ + "/" + kName + "/mem").c_str(), O_RDONLY | O_CLOEXEC)};
  const auto read = pread_at(memory.get(), page * kPage, kPage);
  const auto time = microseconds(Clock::now() - begin);
  ++checks_;
  if (read.bytes.size() != kPage) {
    faults_.add(fmt::format("a page of the healthy VM is not read: {}", std::strerror(read.error)));
  } else if (word(read.bytes, 0) != tg_pattern(page * kPage) ||
             word(read.bytes, kPage - 8) != tg_pattern(page * kPage + kPage - 8)) {
    faults_.add(fmt::format("the page at {:#x} of the healthy VM is wrong", page * kPage));
  }
  const std::scoped_lock lock{mutex_};
  reads_.push_back(time);
}

void HealthyVm::compare(const std::stop_token& stop) {
  std::mt19937 dice{2};
  while (!stop.stop_requested()) {
    try {
      compare_counter();
      compare_memory(dice);
    } catch (const std::exception& error) {
      faults_.add(fmt::format("the healthy VM cannot be compared: {}", error.what()));
    }
    rest(stop, 4s);
  }
}

/// The guest's counter only goes up: a read lies between two of QEMU's own, whoever pauses the guest.
void HealthyVm::compare_counter() {
  constexpr std::uint64_t kCounter = TG_INFO_GPA + TG_INFO_OFF_COUNTER;
  const UniqueFd memory{::open((mountpoint_ + "/" + kName + "/mem").c_str(), O_RDONLY | O_CLOEXEC)};
  const auto before = word(guest_.pmemsave(kCounter, 8), 0);
  const auto read = pread_at(memory.get(), kCounter, 8);
  const auto after = word(guest_.pmemsave(kCounter, 8), 0);
  ++checks_;
  if (read.bytes.size() != 8) {
    faults_.add(fmt::format("the healthy VM's counter is not read: {}", std::strerror(read.error)));
  } else if (const auto now = word(read.bytes, 0); now < before || now > after) {
    faults_.add(fmt::format("stale: the counter is {}, not from {} to {}", now, before, after));
  }
}

/// A MiB at random, through both files, against QEMU's.
void HealthyVm::compare_memory(std::mt19937& dice) {
  constexpr std::size_t kSize = 1U << 20;
  const std::uint64_t at = TG_FILL_START + kSize * (dice() % ((kFillEnd - TG_FILL_START) / kSize));
  const auto truth = guest_.pmemsave(at, kSize);
  for (const char* file : {"/mem", "/mem_padded"}) {
    const UniqueFd memory{::open((mountpoint_ + "/" + kName + file).c_str(), O_RDONLY | O_CLOEXEC)};
    const auto read = pread_at(memory.get(), at, kSize);
    ++checks_;
    if (read.bytes != truth) {
      faults_.add(fmt::format("{} of the healthy VM differs from pmemsave at {:#x}: {} bytes, {}", file, at,
                              read.bytes.size(), std::strerror(read.error)));
    }
  }
}

} // namespace vmemfs::test
