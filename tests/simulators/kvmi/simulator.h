// SPDX-License-Identifier: MIT
// A simulator of QEMU and the kernel with KVMI, written from the protocol's description alone. It connects to
// a tool's UNIX socket as QEMU does, again and again, and can be scripted to misbehave.
#pragma once

#include "simulators/kvmi/guest.h"
#include "simulators/kvmi/memory_device.h"

#include <array>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

namespace kvmi_simulator {

enum class Dialect { tree, v12, rfc8, rfc9 };

enum class FaultKind {
  garbage_status, ///< a positive status
  error,          ///< `value` as negative status
  error_with_data,
  wrong_seq,
  wrong_id,
  short_reply,     ///< no data
  long_reply,      ///< 64 bytes more
  zeros,           ///< instead of the data
  ones,            ///< instead of the data, all bits
  replaced,        ///< instead of the data, those of the fault
  oversized,       ///< a header with more than the max size
  close,           ///< instead of a reply
  close_amid,      ///< after half of the reply
  silence,         ///< no reply at all
  late,            ///< after `value` milliseconds
  unknown_event,   ///< before the reply: of a number that nobody knows
  hypercall_event, ///< before the reply: a known one that nobody has enabled
  short_event,     ///< before the reply
  unhook_event,    ///< before the reply
  event_flood,     ///< before the reply: `value` events that nobody has enabled
  no_event,        ///< the command is accepted, but its PAUSE event does not come
};

/// What happens at a command.
struct Fault {
  FaultKind kind;
  std::uint16_t id = 0; ///< of the command
  unsigned skip = 0;    ///< so many of these commands are answered before
  int value = 0;
  unsigned times = 1;
  std::vector<std::uint64_t> data{}; ///< of `replaced`
};

struct Options {
  std::string socket{};
  Dialect dialect = Dialect::tree;
  std::chrono::microseconds latency{0}; ///< of each reply
  std::chrono::milliseconds reconnect{50};
  bool reconnects = true;
  /// SHA-1 of the secret that the tool has to send; without, any is good.
  std::optional<std::array<std::uint8_t, 20>> hash{};
  std::optional<std::uint32_t> greeting_size{}; ///< in its size field, with that many bytes
  std::size_t greeting_sent = 1U << 20U;        ///< at most so many bytes of it
  std::chrono::milliseconds greeting_delay{0};
  bool events_first = false;                ///< PAUSE events come before the replies
  std::chrono::milliseconds event_delay{0}; ///< PAUSE events come so much later
  bool reverse_vcpu_replies = false;        ///< replies to vCPU commands come in reverse order
  bool refuse_unhook = false;               ///< EPERM for the UNHOOK event
  bool has_query = true;                    ///< QUERY_PHYSICAL, if the dialect is the tree
  int hole_error = 2;                       ///< of QUERY_PHYSICAL where there is no memory
  std::vector<std::uint16_t> denied{};      ///< commands that QEMU does not allow
  std::shared_ptr<MemoryDevice> device{};   ///< which its tokens are for
  std::vector<Fault> faults{};
};

/// What was seen of the tool. Counts are over all connections.
struct Seen {
  unsigned connections = 0; ///< that were greeted and answered
  unsigned refused_hashes = 0;
  unsigned commands = 0;
  unsigned reads = 0;
  unsigned queries = 0;                  ///< QUERY_PHYSICAL
  unsigned flights = 0;                  ///< reads that came while no reply was on its way: round trips
  unsigned unexpected_replies = 0;       ///< to events that are none of ours
  std::vector<std::string> violations{}; ///< of the protocol; each also closes the connection
};

/// Thread-safe.
class Simulator {
public:
  /// Connects in the background, and goes on trying.
  Simulator(std::shared_ptr<Guest> guest, Options options);
  ~Simulator();
  Simulator(const Simulator&) = delete;
  Simulator& operator=(const Simulator&) = delete;

  [[nodiscard]] Guest& guest() { return *guest_; }
  [[nodiscard]] Seen seen() const;
  void reset_counts();
  /// Adds a fault to those of the current and later connections.
  void add_fault(const Fault& fault);
  [[nodiscard]] bool connected() const { return connected_; }
  /// Number of vCPUs that wait for the reply to an event.
  [[nodiscard]] unsigned waiting_vcpus() const;

  /// Closes the connection, which it waits for, as a reset does; it comes again unless reconnects is false.
  void disconnect();
  /// Sends an UNHOOK event.
  void unhook();
  /// Disconnects and does not come again.
  void end();

private:
  class Link;
  void run();
  void shut();
  void wait_for_link() const;
  [[nodiscard]] int connect_once() const;
  [[nodiscard]] bool shake_hands(int socket);

  const std::shared_ptr<Guest> guest_;
  Options options_;
  mutable std::mutex mutex_;
  Seen seen_;
  std::vector<Fault> faults_;
  std::shared_ptr<Link> link_; ///< the current one
  std::atomic<bool> connected_{false};
  std::atomic<bool> ended_{false};
  std::thread thread_;
};

} // namespace kvmi_simulator
