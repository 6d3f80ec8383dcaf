// SPDX-License-Identifier: MIT
// Requests of many threads to one VirtualBox, one after the other.
//
// The link ends when the shared memory goes, or when a reply did not come in time or was not the right one:
// it is never used again then, and attaching the VM again makes a new one.
#pragma once

#include "core/error.h"
#include "core/gpa.h"
#include "drivers/vbox/link/channel.h"
#include "drivers/vbox/link/packets.h"
#include "drivers/vbox/shared/shared_object.h"
#include "util/timed_lock.h"

#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace vmemfs::vbox {

/// What the greeting says.
struct GuestFacts {
  std::uint64_t ram_bytes = 0;
  std::uint32_t vcpus = 0;
  GuestState state{};
};

/// Thread-safe.
class FdpLink {
public:
  using Clock = Channel::Clock;
  /// VirtualBox has no more.
  static constexpr std::uint32_t kMaxVcpus = 64;

  /// Opens the two objects of the VM `name`; see SharedObject::open(). permission: they are not of one user.
  [[nodiscard]] static Result<std::unique_ptr<FdpLink>> open(std::string_view name,
                                                             std::chrono::milliseconds timeout);
  FdpLink(const FdpLink&) = delete;
  FdpLink& operator=(const FdpLink&) = delete;
  ~FdpLink() = default;

  /// Called once when the link ends, on any thread that uses it; must not use it. To be set before that can
  /// be.
  void set_on_end(std::function<void()> on_end) { on_end_ = std::move(on_end); }

  /// Three requests whose replies have different sizes, so that a late reply to another client shows. Before
  /// them a general lock is released that a killed vmemfs left.
  [[nodiscard]] Result<GuestFacts> greet(Clock::time_point deadline);

  using Take = std::function<void(std::span<const std::byte>)>;
  /// Reads 1 to kMaxRead bytes and hands them to `take`, unless it fails. bad_page: VirtualBox cannot read
  /// all of the range. Else as number().
  [[nodiscard]] Result<void> read(Gpa gpa, std::size_t size, Clock::time_point deadline, const Take& take)
      EXCLUDES(lock_);

  /// The reply as a number, of a request that has one. unsupported: VirtualBox refused it. vm_gone: the link
  /// has ended. busy: another client, or other threads, took the time until `deadline`. timed_out,
  /// source_failed.
  [[nodiscard]] Result<std::uint64_t> number(const Request& request, Clock::time_point deadline)
      EXCLUDES(lock_);
  /// The same with a reply that has to be "true".
  [[nodiscard]] Result<void> command(const Request& request, std::string_view what,
                                     Clock::time_point deadline) EXCLUDES(lock_);
  [[nodiscard]] Result<GuestState> state(Clock::time_point deadline) EXCLUDES(lock_);

  /// Whether VirtualBox has marked that the state of the guest changed. No request.
  [[nodiscard]] bool state_changed() const;
  /// Notices that the shared memory has gone. No request.
  void check();

  [[nodiscard]] bool ended() const { return ended_; }
  [[nodiscard]] std::chrono::milliseconds timeout() const { return timeout_; }
  [[nodiscard]] const SharedObject& object() const { return object_; }

private:
  FdpLink(SharedObject object, std::chrono::milliseconds timeout)
      : object_{std::move(object)}, timeout_{timeout} {}

  [[nodiscard]] Result<std::span<const std::byte>> ask(const Request& request, Clock::time_point deadline)
      REQUIRES(lock_);
  [[nodiscard]] Result<std::uint64_t> ask_vcpus(Clock::time_point deadline) EXCLUDES(lock_);
  [[nodiscard]] bool recover(Clock::time_point deadline) EXCLUDES(lock_);
  [[nodiscard]] tl::unexpected<Error> gone_error() const;
  void end(const Error& why);

  const SharedObject object_;
  const std::chrono::milliseconds timeout_;
  std::function<void()> on_end_;
  std::atomic<bool> ended_{false};
  TimedLock lock_; ///< held for a request and its reply
  Channel channel_ GUARDED_BY(lock_){object_, timeout_};
  std::vector<std::byte> reply_ GUARDED_BY(lock_) = std::vector<std::byte>(kMaxRead);
};

} // namespace vmemfs::vbox
