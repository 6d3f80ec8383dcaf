// SPDX-License-Identifier: MIT
#include "drivers/pmemaccess/session/memory_link.h"

#include "util/log.h"

#include <algorithm>
#include <fmt/format.h>
#include <utility>

namespace vmemfs::pmemaccess {
namespace {

constexpr std::string_view kOrigin = "pmemaccess";

tl::unexpected<Error> in_use() {
  return fail(ErrorKind::busy, kOrigin,
              "other requests took the whole time limit: the memory socket serves one at a time");
}

} // namespace

Result<ucred> MemoryLink::start() {
  const TimedLock::Owner lock{lock_};
  lock_.assert_held();
  return ensure_session().map([this] {
    lock_.assert_held();
    return session_->peer();
  });
}

/// A session that can be used.
Result<void> MemoryLink::ensure_session() {
  if (ended_) {
    return fail(ErrorKind::vm_gone, kOrigin, "the VM has ended");
  }
  if (session_ != nullptr && session_->in_step()) {
    return {};
  }
  session_.reset(); // QEMU must see its end first
  if (Clock::now() < next_open_) {
    return fail(ErrorKind::source_failed, kOrigin,
                "the session with QEMU has ended, and no new one could be opened");
  }
  auto opened = open_();
  if (opened) {
    session_ = std::move(*opened);
    return {};
  }
  next_open_ = Clock::now() + kAfterFailure;
  if (opened.error().kind == ErrorKind::not_found && !ended_.exchange(true)) {
    log::info("pmemaccess: the VM has ended: {}", opened.error().text);
    on_end_();
  }
  return tl::unexpected{std::move(opened.error())};
}

Result<void> MemoryLink::read(Gpa gpa, std::size_t size, Clock::time_point deadline, const Take& take) {
  const TimedLock::Owner lock{lock_, deadline};
  if (!lock.owns_lock()) {
    return in_use();
  }
  lock_.assert_held();
  for (const bool again : {true, false}) {
    if (auto ready = ensure_session(); !ready) {
      return ended_ ? fail(ErrorKind::vm_gone, kOrigin, "the VM has ended") : ready;
    }
    const auto bytes = session_->read(gpa, size, request_end(deadline));
    if (bytes) {
      take(*bytes);
      return {};
    }
    if (!again || bytes.error().kind != ErrorKind::source_failed) {
      return tl::unexpected{bytes.error()};
    }
  }
  return {};
}

Result<void> MemoryLink::write(Gpa gpa, std::span<const std::byte> bytes, Clock::time_point deadline) {
  const TimedLock::Owner lock{lock_, deadline};
  if (!lock.owns_lock()) {
    return in_use();
  }
  lock_.assert_held();
  if (auto ready = ensure_session(); !ready) {
    return ended_ ? fail(ErrorKind::vm_gone, kOrigin, "the VM has ended") : ready;
  }
  return session_->write(gpa, bytes, request_end(deadline));
}

bool MemoryLink::lost() {
  const TimedLock::Owner lock{lock_, Clock::now()};
  if (!lock.owns_lock() || ended_) {
    return false;
  }
  lock_.assert_held();
  return session_ == nullptr || !session_->in_step();
}

void MemoryLink::revive() {
  const TimedLock::Owner lock{lock_, Clock::now() + timeout_};
  if (!lock.owns_lock()) {
    return; // who has it notices by itself
  }
  lock_.assert_held();
  if (const auto ready = ensure_session(); !ready) {
    log::debug("pmemaccess: {}", ready.error().text);
  }
}

} // namespace vmemfs::pmemaccess
