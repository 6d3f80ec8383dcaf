// SPDX-License-Identifier: MIT
// A simulator of a VirtualBox with the FDP patch, written from the description of the protocol alone. It is
// no VirtualBox: its guest is a function of the address.
#pragma once

#include "simulators/fdp/guest.h"
#include "simulators/fdp/layout.h"
#include "simulators/fdp/options.h"

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

namespace fdp_simulator {

class Simulator {
public:
  /// The shared memory of the VM `name` is there when it returns.
  explicit Simulator(std::string name, Options options = {});
  ~Simulator() { end(); }
  Simulator(const Simulator&) = delete;
  Simulator& operator=(const Simulator&) = delete;

  /// One that no other test has.
  [[nodiscard]] static std::string unique_name();

  [[nodiscard]] const std::string& name() const { return name_; }
  [[nodiscard]] Guest& guest() { return guest_; }
  [[nodiscard]] Seen seen() const;
  void add_fault(const Fault& fault);

  /// Somebody else pauses or resumes the guest, and VirtualBox marks it.
  void set_paused(bool paused, bool at_breakpoint = false);
  [[nodiscard]] bool state_changed();
  void clear_state_changed();

  // What other clients do.
  void hold_general_lock(bool held);
  [[nodiscard]] bool general_lock_held();
  /// One that died after its request was taken: the reply is there.
  void leave_reply();
  /// One that died after it put a request.
  void leave_request();

  /// Whether VirtualBox takes requests.
  void set_awake(bool awake) { awake_ = awake; }
  /// VirtualBox hangs: the object stays, and nobody answers.
  void stop_serving();
  /// It has hung, and somebody cuts the object.
  void cut();
  /// VirtualBox ends: its objects are removed.
  void end();

private:
  void lock(std::uint8_t& at) const;
  void run();
  void serve();
  void answer(const std::uint8_t* packet, std::size_t size);
  void reply(const void* bytes, std::size_t size, std::uint8_t status = 1);
  void reply_bool(bool value);
  void reply_number(std::uint64_t value);
  void read_memory(const std::uint8_t* packet);
  void write_memory(const std::uint8_t* packet, std::size_t size);
  void set_run_state(bool paused);
  void violation(const std::string& what);
  bool expect_size(std::size_t size, std::size_t expected, unsigned opcode);
  [[nodiscard]] std::optional<Fault> next_fault();
  void wait(std::chrono::microseconds time) const;

  const std::string name_;
  const Options options_;
  Guest guest_{options_};
  mutable std::mutex mutex_; ///< of the two below
  Seen seen_;
  std::vector<Fault> faults_;
  int file_ = -1;
  Shared* shared_ = nullptr;
  std::optional<Fault> fault_{}; ///< of the request that is being answered
  std::vector<std::uint8_t> buffer_;
  bool hung_ = false;
  std::atomic<bool> awake_{true};
  std::atomic<bool> stop_{false};
  std::thread thread_;
};

} // namespace fdp_simulator
