// SPDX-License-Identifier: MIT
// One connection of the simulator: the kernel's side of the protocol.
#pragma once

#include "simulators/kvmi/messages.h"
#include "simulators/kvmi/simulator.h"

#include <condition_variable>
#include <functional>
#include <map>
#include <span>

namespace kvmi_simulator {

/// What a link reports of the tool; called on its threads.
struct LinkHooks {
  std::function<std::optional<Fault>(std::uint16_t id)> fault; ///< of the next command of this id
  std::function<void(bool new_flight, unsigned commands)> received;
  std::function<void()> read;
  std::function<void()> query;
  std::function<void(std::string)> violation;
  std::function<void()> unexpected_reply;
};

class Simulator::Link {
public:
  Link(int socket, Guest& guest, const Options& options, LinkHooks hooks);
  ~Link();
  Link(const Link&) = delete;
  Link& operator=(const Link&) = delete;

  void serve(); ///< until the connection ends
  void shut();  ///< from any thread
  void send_unhook();
  [[nodiscard]] unsigned waiting_vcpus() const;

private:
  using Clock = std::chrono::steady_clock;
  using Bytes = std::vector<std::uint8_t>;

  struct Command {
    Header header;
    std::span<const std::uint8_t> payload;
    std::optional<Fault> fault{};
  };
  struct VcpuState {
    unsigned pauses = 0;                  ///< events to come
    std::optional<std::uint32_t> waits{}; ///< for the reply to this event
    std::optional<Guest::Registers> delayed{};
  };

  /// Numbers of the events of a flood, whose replies are not counted.
  static constexpr std::uint32_t kFloodBegin = 0x80000000;

  [[nodiscard]] const Ids& ids() const { return options_.dialect == Dialect::v12 ? kV12 : kTree; }
  [[nodiscard]] bool take(const Bytes& bytes, std::size_t& used);
  void handle(Command& command);
  void handle_known(const Command& command);
  void handle_version(const Command& command);
  void handle_check(const Command& command);
  void handle_control(const Command& command);
  void handle_read(const Command& command);
  void handle_query(const Command& command);
  void handle_map_token(const Command& command);
  void handle_write(const Command& command);
  void handle_pause(const Command& command);
  void handle_get_registers(const Command& command);
  void handle_set_registers(const Command& command);
  void handle_event_reply(const Command& command);
  [[nodiscard]] bool address_of(const Command& command, std::uint64_t& gpa, std::uint64_t& size);
  void violate(const std::string& what);
  void event_fault(const Fault& fault);

  void reply(const Command& command, int error, const Bytes& data = {}, Clock::duration more = {});
  void send_event(std::uint8_t event, std::uint16_t vcpu, std::uint32_t seq, Clock::duration delay,
                  std::size_t cut = 1U << 20U);
  void pause_now(std::uint16_t vcpu, Clock::duration delay);
  void queue(Bytes bytes, Clock::duration delay, bool is_last = false);
  void send_loop();

  const int socket_;
  Guest& guest_;
  const Options& options_;
  const LinkHooks hooks_;
  bool reads_ = false;  ///< of the serving thread: there was a read in what was received last
  bool broken_ = false; ///< of the serving thread: close after this command

  mutable std::mutex mutex_;
  std::condition_variable changed_;
  struct Queued {
    Bytes bytes;
    bool is_last;
  };
  std::multimap<Clock::time_point, Queued> queue_;
  bool ended_ = false;
  std::vector<VcpuState> vcpus_;
  std::uint32_t next_event_ = 1000;
  std::thread sender_;
};

} // namespace kvmi_simulator
