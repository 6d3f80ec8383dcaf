// SPDX-License-Identifier: MIT
// Readers of all files of a mount, which repeatedly read and sometimes pause a VM for a moment.
#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <mutex>
#include <set>
#include <string>
#include <thread>
#include <utility>
#include <vector>

namespace vmemfs::test {

struct MountReadersOptions {
  unsigned threads = 1;
  std::chrono::milliseconds pace{0}; ///< sleep of a thread between two files
  std::set<int> also_fair = {};      ///< errnos that any file may give, beside those of VMs that end
};

/// Its threads run from construction to stop(). Keeps the results that a read must never give, whatever
/// happens to the VM meanwhile.
class MountReaders {
public:
  MountReaders(std::string mountpoint, MountReadersOptions options);
  ~MountReaders() { stop(); }
  MountReaders(const MountReaders&) = delete;
  MountReaders& operator=(const MountReaders&) = delete;

  void stop();

  /// Number of reads by file ("mem", "regs", ...) and errno; 0: success.
  [[nodiscard]] std::map<std::pair<std::string, int>, std::uint64_t> outcomes() const;
  /// A line for each result that is not allowed.
  [[nodiscard]] std::vector<std::string> unfair() const;

private:
  void run(const std::stop_token& stop, unsigned seed);
  [[nodiscard]] bool is_fair(const std::string& file, int error) const;
  void note(const std::string& file, int error);
  void read_all_below(const std::string& path, const std::stop_token& stop, unsigned& dice);
  void read_one(const std::string& path, unsigned& dice);

  const std::string mountpoint_;
  const MountReadersOptions options_;
  mutable std::mutex mutex_;
  std::map<std::pair<std::string, int>, std::uint64_t> outcomes_;
  std::vector<std::string> unfair_;
  std::vector<std::jthread> threads_;
};

} // namespace vmemfs::test
