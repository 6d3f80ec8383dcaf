// SPDX-License-Identifier: MIT
// Options of the simulator, its scripted faults, and what it saw of its client.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

namespace pmemaccess_simulator {

enum class Variant {
  u64,  ///< 2.8 and later
  u8,   ///< the type has one byte
  old,  ///< up to 1.6.0: makes the socket after its answer, and spins after an end without quit
  v2_4, ///< 2.4.0: a write corrupts QEMU
};

/// The reply to a read that fails.
enum class FailureForm {
  first_byte, ///< as all patches do: one byte, the first of the buffer
  one_byte,   ///< one byte of any value
  documented, ///< as the patches' text has it: all bytes, and a status of 0
};

enum class FaultKind {
  status,      ///< of a read that succeeds: `value`
  refuse,      ///< one byte: `value`
  split,       ///< the reply in pieces of `value` bytes, `delay` apart
  late,        ///< the reply `delay` later
  late_rest,   ///< one byte of the reply, and the rest `delay` later
  close,       ///< instead of a reply
  close_amid,  ///< after half of it
  close_after, ///< after the reply
  silence,
  extra, ///< one byte more than the reply
};

/// What happens at a request that reads or writes; probes are not counted.
struct Fault {
  FaultKind kind;
  unsigned skip = 0; ///< so many requests are answered before
  unsigned times = 1;
  std::uint8_t value = 1;
  std::chrono::milliseconds delay{0};
};

struct Options {
  Variant variant = Variant::u64;
  FailureForm failure = FailureForm::first_byte;
  std::uint8_t failure_value = 1; ///< with FailureForm::one_byte
  bool patched = true;
  bool kvm = true;
  bool mtree = true;          ///< has `info mtree -f`
  bool cpus_fast = true;      ///< has query-cpus-fast
  bool refuses_files = false; ///< takes the command, but makes no socket
  unsigned vcpus = 2;
  std::string image{}; ///< a file whose bytes the memory has, by their addresses; empty: a function of these
  std::chrono::microseconds latency{0}; ///< of each reply, on both sockets
  std::vector<Fault> faults{};
};

struct Seen {
  unsigned sessions = 0;
  unsigned quits = 0;
  unsigned reads = 0;
  unsigned writes = 0;
  std::size_t max_read = 0;
  std::vector<std::string> commands{};   ///< of QMP
  std::vector<std::string> violations{}; ///< what a good client does not do
};

} // namespace pmemaccess_simulator
