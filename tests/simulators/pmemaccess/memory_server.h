// SPDX-License-Identifier: MIT
// The thread that LibVMI's patch starts in QEMU: one session over one socket, requests in a loop.
#pragma once

#include "simulators/pmemaccess/guest.h"
#include "simulators/pmemaccess/options.h"

#include <atomic>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

namespace pmemaccess_simulator {

/// What all parts share. Thread-safe.
class Record {
public:
  template <typename Change> void note(Change&& change) {
    const std::lock_guard lock{mutex_};
    change(seen_);
  }
  [[nodiscard]] Seen seen() const {
    const std::lock_guard lock{mutex_};
    return seen_;
  }
  void add_fault(const Fault& fault) {
    const std::lock_guard lock{mutex_};
    faults_.push_back(fault);
  }
  /// What is to happen at this request.
  [[nodiscard]] std::optional<Fault> next_fault();

private:
  mutable std::mutex mutex_;
  Seen seen_;
  std::vector<Fault> faults_;
};

class MemoryServer {
public:
  /// Listens at `path` when it returns, unless the variant is an old one.
  MemoryServer(std::string path, const Options& options, Guest& guest, Record& record);
  ~MemoryServer(); ///< closes all
  MemoryServer(const MemoryServer&) = delete;
  MemoryServer& operator=(const MemoryServer&) = delete;

private:
  void bind();
  void run();
  void serve(int client);
  bool answer(int client, const std::vector<std::uint8_t>& reply);
  bool serve_read(int client, std::uint64_t address, std::uint64_t size);
  bool serve_write(int client, std::uint64_t address, std::uint64_t size);
  bool send(int client, const std::uint8_t* bytes, std::size_t size);
  bool readable(int fd) const;
  void pause(std::chrono::microseconds time) const;

  const std::string path_;
  const Options& options_;
  Guest& guest_;
  Record& record_;
  int listener_ = -1;
  std::atomic<bool> stop_{false};
  std::thread thread_;
};

} // namespace pmemaccess_simulator
