// SPDX-License-Identifier: MIT
// Readers of all files of a mount, which repeatedly read and sometimes pause a VM for a moment.
#pragma once

#include <atomic>
#include <cstdint>
#include <map>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

namespace vmemfs::test {

/// Its threads run from construction to stop(). A result that a read must never give, whatever happens to
/// the VM meanwhile, fails the test.
class MountReaders {
public:
  MountReaders(std::string mountpoint, unsigned threads);
  ~MountReaders() { stop(); }
  MountReaders(const MountReaders&) = delete;
  MountReaders& operator=(const MountReaders&) = delete;

  void stop();

  /// Number of reads by file ("mem", "regs", ...) and errno; 0: success.
  [[nodiscard]] std::map<std::pair<std::string, int>, std::uint64_t> outcomes() const;

private:
  void run(const std::stop_token& stop, unsigned seed);
  void note(const std::string& path, int error);
  void read_all_below(const std::string& path, const std::stop_token& stop, unsigned& dice);
  void read_one(const std::string& path, unsigned& dice);

  const std::string mountpoint_;
  mutable std::mutex mutex_;
  std::map<std::pair<std::string, int>, std::uint64_t> outcomes_;
  std::vector<std::jthread> threads_;
};

} // namespace vmemfs::test
