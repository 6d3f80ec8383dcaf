// SPDX-License-Identifier: MIT
// One session with the memory socket of a patched QEMU: a request, then its reply.
//
// Replies have no numbers. What came late, or was not asked for, must not be taken for the reply to the next
// request, so before each request nothing may be left to read, and a session that was once out of step is
// broken for good. A failed read is one byte of any value, which only silence tells from the begin of a
// reply: after kGrace a request follows that every version answers with one byte 0, and if that is what
// comes, the failure is certain and the stream is in step.
//
// The other side is not trusted: each exchange has a deadline. Not thread-safe. Nothing raises SIGPIPE.
#pragma once

#include "core/error.h"
#include "core/gpa.h"
#include "drivers/pmemaccess/session/wire_format.h"
#include "util/unique_fd.h"

#include <chrono>
#include <cstddef>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <sys/socket.h>
#include <sys/types.h>

namespace vmemfs::pmemaccess {

class MemorySession {
public:
  using Clock = std::chrono::steady_clock;
  /// The silence after one byte that makes it a failure: QEMU sends a reply by one write.
  static constexpr std::chrono::milliseconds kGrace{150};
  static constexpr std::size_t kMaxPath = 107;

  enum class Retry : bool { no, yes };

  /// Connects to the socket at `path`. `retry`: it is being made, which QEMU up to 1.6.0 does after its
  /// answer; for 2 s at most. not_found: there is no such socket, or no process listens on it. permission:
  /// access denied. invalid: the path has more than kMaxPath bytes.
  static Result<std::unique_ptr<MemorySession>> connect(const std::string& path, Retry retry,
                                                        Clock::time_point deadline);
  explicit MemorySession(UniqueFd socket) : socket_{std::move(socket)} {}
  ~MemorySession(); ///< ends it properly: without that, QEMU up to 2.4 takes all of a CPU from then on
  MemorySession(const MemorySession&) = delete;
  MemorySession& operator=(const MemorySession&) = delete;

  /// Reads 1 to kMaxRead bytes; they are valid until the next call. bad_page: QEMU cannot read all of the
  /// range. Otherwise the session is broken: timed_out, or source_failed.
  [[nodiscard]] Result<std::span<const std::byte>> read(Gpa gpa, std::size_t size,
                                                        Clock::time_point deadline);

  /// Writes 1 to kMaxWrite bytes. source_failed: QEMU cannot write all of them, or the connection ended;
  /// timed_out. After both some of the bytes may have been written, and the session is broken.
  [[nodiscard]] Result<void> write(Gpa gpa, std::span<const std::byte> bytes, Clock::time_point deadline);

  /// False once the other side has closed it or has sent what nobody asked for. One system call.
  [[nodiscard]] bool in_step();
  [[nodiscard]] bool broken() const { return broken_; }

  /// Of the process that listens (SO_PEERCRED); pid 0: unknown.
  [[nodiscard]] ucred peer() const;

private:
  [[nodiscard]] Result<void> begin(std::span<const std::byte> request);
  [[nodiscard]] Result<std::size_t> receive(std::span<std::byte> bytes, Clock::time_point deadline);
  [[nodiscard]] Result<void> collect(Clock::time_point deadline);
  [[nodiscard]] Result<void> confirm_failure(Clock::time_point deadline);
  tl::unexpected<Error> break_off(ErrorKind kind, std::string_view why);

  UniqueFd socket_;
  ReadReply reply_;
  bool broken_ = false;
};

} // namespace vmemfs::pmemaccess
