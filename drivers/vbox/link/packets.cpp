// SPDX-License-Identifier: MIT
#include "drivers/vbox/link/packets.h"

#include "core/little_endian.h"

#include <algorithm>

namespace vmemfs::vbox {
namespace {

constexpr std::size_t kNumberBytes = 8;
constexpr std::size_t kCpu = 4; ///< offset of the field in all requests that have it

Request begin(Opcode opcode, std::size_t head_bytes, std::size_t reply_bytes) {
  Request request;
  request.head[0] = static_cast<std::byte>(opcode);
  request.head_bytes = head_bytes;
  request.reply_bytes = reply_bytes;
  return request;
}

template <typename T> void put(Request& request, std::size_t offset, T value) {
  store_le(std::span{request.head}, offset, value);
}

} // namespace

Request simple_request(Opcode opcode, std::size_t reply_bytes) { return begin(opcode, 1, reply_bytes); }

Request state_request() { return begin(Opcode::state, 8, 1); }

Request read_request(Gpa gpa, std::size_t size) {
  Request request = begin(Opcode::read_physical, 24, size);
  put(request, 8, gpa.value());
  put(request, 16, static_cast<std::uint32_t>(size));
  return request;
}

Request write_request(Gpa gpa, std::span<const std::byte> data) {
  Request request = begin(Opcode::write_physical, Request::kWriteHead, 1);
  put(request, 8, gpa.value());
  put(request, 16, static_cast<std::uint32_t>(data.size()));
  request.data = data;
  return request;
}

Request read_register_request(VcpuId vcpu, std::uint16_t id) {
  Request request = begin(Opcode::read_register, 12, kNumberBytes);
  put(request, kCpu, vcpu.value());
  put(request, 8, id);
  return request;
}

Request write_register_request(VcpuId vcpu, std::uint16_t id, std::uint64_t value) {
  Request request = begin(Opcode::write_register, 24, 1);
  put(request, kCpu, vcpu.value());
  put(request, 8, id);
  put(request, 16, value);
  return request;
}

Request read_msr_request(VcpuId vcpu, std::uint32_t msr) {
  Request request = begin(Opcode::read_msr, 16, kNumberBytes);
  put(request, kCpu, vcpu.value());
  put(request, 8, std::uint64_t{msr});
  return request;
}

Request write_msr_request(VcpuId vcpu, std::uint32_t msr, std::uint64_t value) {
  Request request = begin(Opcode::write_msr, 24, 1);
  put(request, kCpu, vcpu.value());
  put(request, 8, std::uint64_t{msr});
  put(request, 16, value);
  return request;
}

Verdict judge(const ReplyHeader& header, const Request& request) {
  if (header.status == 1 && header.size == request.reply_bytes) {
    return Verdict::done;
  }
  return header.status == 0 && header.size == 1 ? Verdict::refused : Verdict::out_of_step;
}

std::uint64_t number_of(std::span<const std::byte> bytes) {
  std::uint64_t number = 0;
  for (std::size_t i = 0; i < std::min(bytes.size(), kNumberBytes); ++i) {
    number |= std::to_integer<std::uint64_t>(bytes[i]) << (8 * i);
  }
  return number;
}

GuestState state_of(std::uint64_t bits) {
  constexpr std::uint64_t kPaused = 1;
  constexpr std::uint64_t kBreakpoints = 2 | 8; // the second one by a debug register
  return {.paused = (bits & kPaused) != 0, .at_breakpoint = (bits & kBreakpoints) != 0};
}

} // namespace vmemfs::vbox
