// Reads everything that a mount shows, again and again, and now and then pauses a VM for a moment.
#pragma once

#include <atomic>
#include <cstdint>
#include <map>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

namespace vmemfs::test {

/// Its threads run from construction to stop(). What a read must never give, for whatever becomes of
/// the VM meanwhile, is a failure of the test.
class MountReaders {
public:
  MountReaders(std::string mountpoint, unsigned threads);
  ~MountReaders() { stop(); }
  MountReaders(const MountReaders&) = delete;
  MountReaders& operator=(const MountReaders&) = delete;

  void stop();

  /// How often a read of which file ("mem", "regs", ...) ended in which errno; 0: it succeeded.
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
