// SPDX-License-Identifier: MIT
// A stand-in of /dev/kvmmem, for tests on hosts without such a kernel: two files, which the simulator, the
// tests and the process that maps share.
//
// The file that is opened as the device holds the guest's memory, each byte at its guest physical address; so
// what is mapped are real pages of a real file, with the kernel's own mmap, and real SIGBUS where the file is
// cut. Only ioctl() and close() are replaced (memory_device_calls.cpp), by a definition that comes before
// libc's: linked into a test, or preloaded into the daemon. The second file is the ledger: which tokens the
// simulator has given, what is mapped, and the faults to make.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <string>

namespace kvmi_simulator {

using Token = std::array<std::uint8_t, 32>;

/// By this name in its path, ioctl() knows the file. The ledger's has ".ledger" after it.
inline constexpr char kStandInName[] = "kvmmem-stand-in";

/// In shared memory; zeros at first.
struct Ledger {
  static constexpr std::uint32_t kMaxTokens = 1U << 17U;
  struct Entry {
    std::atomic<std::uint32_t> is_valid; ///< given, and not used
    Token token;
  };

  // Set by the test.
  std::atomic<std::uint32_t> is_second_abi;
  std::atomic<std::uint64_t> region_pages; ///< of the second ABI: all of them are aligned to it; 0: 1
  std::atomic<int> start_error;            ///< errno of the next calls, for good
  std::atomic<int> map_error;
  std::atomic<std::uint32_t> map_errors_left;
  std::atomic<std::uint64_t> wrong_gpa; ///< second ABI: given instead of the region's, if not 0
  std::atomic<std::uint64_t> wrong_length;

  // Counted by the stand-in.
  std::atomic<std::uint32_t> starts;
  std::atomic<std::uint32_t> maps;
  std::atomic<std::uint32_t> unmaps;
  std::atomic<std::uint32_t> pages;     ///< mapped now, all files together
  std::atomic<std::uint32_t> max_pages; ///< ever at the same time
  std::atomic<std::uint32_t> violations;
  std::array<std::uint8_t, 16> uuid;

  std::atomic<std::uint32_t> tokens_given;
  std::array<Entry, kMaxTokens> tokens;
};

/// The side of the test and the simulator. Thread-safe.
class MemoryDevice {
public:
  /// Makes the files in `folder`.
  explicit MemoryDevice(const std::string& folder);
  ~MemoryDevice();
  MemoryDevice(const MemoryDevice&) = delete;
  MemoryDevice& operator=(const MemoryDevice&) = delete;

  [[nodiscard]] std::string path() const { return path_; }
  [[nodiscard]] Ledger& ledger() { return *ledger_; }

  [[nodiscard]] Token new_token();
  /// What the guest has in its memory now.
  void store(std::uint64_t gpa, const std::uint8_t* bytes, std::size_t size) const;
  /// Pages from here on are no more: a load from a mapping of them is SIGBUS.
  void cut(std::uint64_t gpa) const;

  /// Mappings of guest memory that a process has by /proc/PID/maps, in pages: independent of what the ledger
  /// counts.
  [[nodiscard]] std::uint64_t mapped_pages_of(int pid) const;

private:
  const std::string path_;
  int memory_ = -1;
  Ledger* ledger_ = nullptr;
};

/// Maps the ledger of the device at `path`; null on failure.
[[nodiscard]] Ledger* map_ledger(const std::string& path);

} // namespace kvmi_simulator
