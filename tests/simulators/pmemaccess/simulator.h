// SPDX-License-Identifier: MIT
// A simulator of a QEMU with LibVMI's pmemaccess patch: its monitor and its memory sockets, written from the
// description of the protocol alone. It is no QEMU: its guest is a function of the address.
#pragma once

#include "simulators/pmemaccess/guest.h"
#include "simulators/pmemaccess/memory_server.h"
#include "simulators/pmemaccess/options.h"

#include <atomic>
#include <list>
#include <mutex>
#include <string>
#include <thread>

namespace pmemaccess_simulator {

class Simulator {
public:
  /// Its monitor listens at `monitor` when it returns.
  explicit Simulator(std::string monitor, Options options = {});
  ~Simulator() { end(); }
  Simulator(const Simulator&) = delete;
  Simulator& operator=(const Simulator&) = delete;

  [[nodiscard]] Guest& guest() { return guest_; }
  [[nodiscard]] Seen seen() const { return record_.seen(); }
  void add_fault(const Fault& fault) { record_.add_fault(fault); }
  void set_migrating(bool on) { migrating_ = on; }
  /// Somebody else pauses or resumes the VM.
  void set_running(bool on) { running_ = on; }
  [[nodiscard]] bool running() const { return running_; }

  /// As the command of a monitor does it, for a client that has none.
  void open_memory(const std::string& path);

  /// QEMU ends: all its sockets are closed, and their files removed.
  void end();

private:
  void run();
  void serve(int client);
  [[nodiscard]] std::string reply_to(const std::string& line);

  const std::string path_;
  const Options options_;
  Guest guest_{options_.image};
  Record record_;
  std::mutex mutex_;
  std::list<MemoryServer> servers_; ///< guarded by mutex_
  std::atomic<bool> running_{true};
  std::atomic<bool> migrating_{false};
  std::atomic<bool> stop_{false};
  int listener_ = -1;
  std::thread thread_;
};

} // namespace pmemaccess_simulator
