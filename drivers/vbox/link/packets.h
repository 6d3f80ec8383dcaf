// SPDX-License-Identifier: MIT
// Requests and replies of FDP, the protocol of a patched VirtualBox.
//
// Format, little-endian, of x86-64 Linux: a request begins with its opcode (u8), fields at their natural
// alignment follow; the data of a write are at offset 20, and four surplus bytes behind them. A reply has a
// size, at least 1, and a status: 1 with what was asked, or 0 with one byte. It does not say to which request
// it belongs.
//
// The other side is not trusted. Pure functions, thread-safe.
#pragma once

#include "core/gpa.h"

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

namespace vmemfs::vbox {

/// 0, 1, 9, 10, 24 and 25 get no reply: never send them.
enum class Opcode : std::uint8_t {
  read_physical = 2,
  read_register = 3,
  read_msr = 4,
  write_msr = 5,
  memory_size = 6,
  pause = 7,
  resume = 8,
  write_physical = 14,
  state = 16,
  write_register = 18,
  cpu_count = 22,
};

inline constexpr std::size_t kMaxRead = std::size_t{1} << 20U;
/// VirtualBox first reads the range into 1 MiB: not more than 1 MiB - 24, and whole pages.
inline constexpr std::size_t kMaxWrite = kMaxRead - kPageSize;

/// The value of a register that VirtualBox does not know.
inline constexpr std::uint64_t kUnknownRegister = 0xBADBADBADBADBADBULL;

struct Request {
  static constexpr std::size_t kMaxHead = 24;
  static constexpr std::size_t kWriteHead = 20;
  static constexpr std::size_t kWriteTail = 4;

  std::array<std::byte, kMaxHead> head{};
  std::size_t head_bytes = 1;
  std::span<const std::byte> data{}; ///< of a write of memory
  std::size_t reply_bytes = 1;       ///< of a reply with status 1

  [[nodiscard]] std::size_t tail_bytes() const { return data.empty() ? 0 : kWriteTail; }
  [[nodiscard]] std::size_t bytes() const { return head_bytes + data.size() + tail_bytes(); }
};

/// `opcode` without any field: memory_size, pause, resume, cpu_count.
[[nodiscard]] Request simple_request(Opcode opcode, std::size_t reply_bytes);
[[nodiscard]] Request state_request();
[[nodiscard]] Request read_request(Gpa gpa, std::size_t size);
[[nodiscard]] Request write_request(Gpa gpa, std::span<const std::byte> data);
[[nodiscard]] Request read_register_request(VcpuId vcpu, std::uint16_t id);
[[nodiscard]] Request write_register_request(VcpuId vcpu, std::uint16_t id, std::uint64_t value);
[[nodiscard]] Request read_msr_request(VcpuId vcpu, std::uint32_t msr);
[[nodiscard]] Request write_msr_request(VcpuId vcpu, std::uint32_t msr, std::uint64_t value);

struct ReplyHeader {
  std::uint32_t size;
  std::uint8_t status;
};

enum class Verdict : unsigned char {
  done,        ///< the bytes that were asked for
  refused,     ///< VirtualBox cannot do it
  out_of_step, ///< no reply to this request
};

[[nodiscard]] Verdict judge(const ReplyHeader& header, const Request& request);

/// The first 8 bytes, or all if there are fewer, as a number.
[[nodiscard]] std::uint64_t number_of(std::span<const std::byte> bytes);

/// Bits of the reply to state_request().
struct GuestState {
  bool paused = false;
  bool at_breakpoint = false;
};
[[nodiscard]] GuestState state_of(std::uint64_t bits);

} // namespace vmemfs::vbox
