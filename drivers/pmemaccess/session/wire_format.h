// SPDX-License-Identifier: MIT
// Requests and replies of pmemaccess, the patch of LibVMI to QEMU.
//
// Format, little-endian (LibVMI's tools/qemu-kvm-patch, versions 0.14.0 to 4.1.0): a request is 24 bytes:
// type, address, length. The type was one byte and padding before 2018, a u64 since: zeros in the padding
// suit both. The reply to a read of n bytes is n bytes and one status byte that is not 0. If the range cannot
// be read, the text of the patches promises n + 1 bytes with a status of 0, but every version sends one byte,
// the first of a fresh buffer: any value, even 1. So one byte may be a failure or the begin of a reply.
//
// The other side is not trusted: no byte of it decides a size. Not thread-safe.
#pragma once

#include "core/gpa.h"

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace vmemfs::pmemaccess {

enum class RequestType : std::uint64_t {
  quit = 0,
  read = 1,
  write = 2,
  /// No version knows it, and all answer with one byte 0: shows that the stream is in step.
  probe = 0xff,
};

inline constexpr std::size_t kRequestBytes = 24;
/// Max bytes of one read. The patches of 0.14, 1.2, 2.4 and 2.8 allocate as much for a reply and free it
/// before the next request, so a MiB costs QEMU a MiB. That of 4.1.0 takes none of QEMU's locks while it
/// waits for the client to take the reply, and no signal cuts that short, as its thread has all of them
/// blocked. So the size costs nothing but time: that of a failed range, and on a slow link that of a reply.
inline constexpr std::size_t kMaxRead = std::size_t{1} << 20U;
/// The same on a link that is so slow that a larger reply could take too long. Fits in a socket's buffer.
inline constexpr std::size_t kMaxSlowRead = std::size_t{64} << 10U;
/// Of one write: QEMU takes its data by one read(2), so all of it must be in the socket's buffer.
inline constexpr std::size_t kMaxWrite = 4096;

using RequestBytes = std::array<std::byte, kRequestBytes>;

[[nodiscard]] RequestBytes request_bytes(RequestType type, Gpa gpa, std::uint64_t length);

/// Collects the reply to one read.
class ReadReply {
public:
  enum class State : unsigned char {
    empty,
    one_byte, ///< a failure if nothing follows
    partial,
    failed, ///< all bytes, with a status of 0
    whole,
  };

  ReadReply() : bytes_(kMaxRead + 1) {}

  /// The next reply is to a read of `length` bytes, 1 to kMaxRead.
  void begin(std::size_t length) {
    length_ = length;
    have_ = 0;
  }

  /// The place of the bytes that are still to come; empty once all are there.
  [[nodiscard]] std::span<std::byte> room() { return std::span{bytes_}.subspan(have_, length_ + 1 - have_); }

  /// `bytes` were put at the begin of room().
  void take(std::size_t bytes) { have_ += bytes; }

  [[nodiscard]] State state() const;

  /// What was read, until the next begin(); empty unless the reply is whole.
  [[nodiscard]] std::span<const std::byte> data() const;

private:
  std::vector<std::byte> bytes_; ///< data, and then the status
  std::size_t length_ = 0;       ///< of the data
  std::size_t have_ = 0;
};

} // namespace vmemfs::pmemaccess
