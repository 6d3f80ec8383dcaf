// SPDX-License-Identifier: MIT
#include "drivers/vbox/link/channel.h"

#include "core/text.h"
#include "util/work_limit.h"

#include <algorithm>
#include <array>
#include <fmt/format.h>
#include <string_view>
#include <thread>

namespace vmemfs::vbox {
namespace {

constexpr std::string_view kOrigin = "vbox";

// Offsets in the object.
constexpr std::size_t kGeneralLock = 0;
constexpr std::size_t kToServer = 4;
constexpr std::size_t kToClient = 10'485'772;
// Offsets in a channel, whose data come first.
constexpr std::size_t kSize = 10'485'760;
constexpr std::size_t kLock = 10'485'764;
constexpr std::size_t kPresent = 10'485'765;
constexpr std::size_t kStatus = 10'485'766;
static_assert(kToClient == kToServer + kStatus + 2 && Channel::kObjectBytes == kToClient + kStatus + 2);

/// A server that is awake answers within some microseconds.
constexpr std::chrono::microseconds kSpin{50};
constexpr std::chrono::microseconds kFirstSleep{10};
constexpr std::chrono::microseconds kMaxSleep{1000};
/// For the lock of a channel, which is held for a copy of some bytes.
constexpr std::chrono::milliseconds kChannelLock{500};

} // namespace

/// A lock that is released at the end of a scope.
class Channel::Held {
public:
  Held(const SharedObject& object, std::size_t lock) : object_{object}, lock_{lock} {}
  ~Held() { static_cast<void>(object_.exchange(lock_, 0)); } // fails only if there is no lock any more
  Held(const Held&) = delete;
  Held& operator=(const Held&) = delete;

private:
  const SharedObject& object_;
  const std::size_t lock_;
};

/// At first without sleep, as an answer usually takes less time than that; then with longer and longer ones.
Result<Channel::Wait> Channel::wait_until(Clock::time_point deadline, const Condition& holds) {
  const auto begin = Clock::now();
  for (auto sleep = kFirstSleep;;) {
    const auto held = holds();
    if (!held) {
      return tl::unexpected{held.error()};
    }
    if (*held) {
      return Wait::holds;
    }
    const auto now = Clock::now();
    if (now >= deadline) {
      return Wait::over;
    }
    if (now - begin >= kSpin) {
      std::this_thread::sleep_for(std::min<Clock::duration>(sleep, deadline - now));
      sleep = std::min(2 * sleep, kMaxSleep);
    }
  }
}

/// Looks first, so that it does not take the holder's cache line all the time.
Result<bool> Channel::try_take(std::size_t lock) const {
  const auto now = object_.load(lock);
  if (!now || *now != 0) {
    return now ? Result<bool>{false} : tl::unexpected{now.error()};
  }
  return object_.exchange(lock, 1).map([](std::uint8_t before) { return before == 0; });
}

Result<Channel::Wait> Channel::take(std::size_t lock, Clock::time_point deadline) const {
  return wait_until(deadline, [&] { return try_take(lock); });
}

Result<bool> Channel::present(std::size_t channel) const {
  return object_.load(channel + kPresent).map([](std::uint8_t mark) { return mark != 0; });
}

Result<Channel::Wait> Channel::wait_for_mark(std::size_t channel, bool present,
                                             Clock::time_point deadline) const {
  return wait_until(deadline, [&] {
    return this->present(channel).map([&](bool is_present) { return is_present == present; });
  });
}

/// An exchange orders what was copied before it.
Result<void> Channel::clear_mark(std::size_t channel) const {
  return object_.exchange(channel + kPresent, 0).map([](std::uint8_t /*before*/) {});
}

Result<bool> Channel::ask(const Request& request, std::span<std::byte> reply, Clock::time_point deadline) {
  if (broken_) {
    return fail(ErrorKind::source_failed, kOrigin, "the connection to VirtualBox is lost");
  }
  if (auto checked = object_.check(); !checked) {
    return tl::unexpected{std::move(checked.error())};
  }
  const auto taken = wait_until(deadline, [&]() -> Result<bool> {
    return WorkLimit::over() ? Result<bool>{WorkLimit::exceeded(kOrigin)} : try_take(kGeneralLock);
  });
  if (!taken) {
    return tl::unexpected{taken.error()};
  }
  if (*taken == Wait::over) {
    return fail(
        ErrorKind::busy, kOrigin,
        fmt::format("another client holds the general lock of '{0}'; end it, or if it is dead and no other "
                    "one is connected, clear the lock: printf '\\0' | dd of=/dev/shm/{0} bs=1 conv=notrunc",
                    printable(object_.name())));
  }
  const Held general{object_, kGeneralLock};
  journal_.set(LockJournal::Phase::held);
  auto result = exchange(request, reply, deadline);
  journal_.set(LockJournal::Phase::idle); // before the lock is released
  return result;
}

/// Called with the general lock held.
Result<bool> Channel::exchange(const Request& request, std::span<std::byte> reply,
                               Clock::time_point deadline) {
  if (auto settled = settle(deadline); !settled) {
    return tl::unexpected{std::move(settled.error())};
  }
  journal_.set(LockJournal::Phase::asked);
  if (auto sent = send(request, deadline); !sent) {
    return tl::unexpected{std::move(sent.error())};
  }
  const auto verdict = receive(request, reply, Clock::now() + timeout_);
  if (!verdict) {
    broken_ = true;
    if (verdict.error().kind == ErrorKind::timed_out) {
      give_up();
    }
    return tl::unexpected{verdict.error()};
  }
  if (*verdict == Verdict::out_of_step) {
    broken_ = true;
    return fail(ErrorKind::source_failed, kOrigin,
                "VirtualBox sent no reply to this request, but another one; attach the VM again");
  }
  return *verdict == Verdict::done;
}

/// A client that died or gave up may have left a request, a reply, or both one after the other.
Result<void> Channel::settle(Clock::time_point deadline) {
  const auto pending = present(kToServer);
  if (!pending) {
    return tl::unexpected{pending.error()};
  }
  if (*pending) {
    const auto taken = wait_for_mark(kToServer, false, deadline);
    if (!taken) {
      return tl::unexpected{taken.error()};
    }
    if (*taken == Wait::over) {
      return fail(ErrorKind::timed_out, kOrigin,
                  "VirtualBox does not take the request of another client; check that the VM runs");
    }
    const auto answered = wait_for_mark(kToClient, true, Clock::now() + timeout_);
    if (!answered || *answered == Wait::over) {
      broken_ = true;
      return answered ? fail(ErrorKind::timed_out, kOrigin,
                             "VirtualBox does not answer the request of another client, and its reply would "
                             "be taken for ours; attach the VM again")
                      : tl::unexpected{answered.error()};
    }
  }
  const auto stale = present(kToClient);
  if (!stale) {
    return tl::unexpected{stale.error()};
  }
  return *stale ? drop_reply(deadline) : Result<void>{};
}

Result<void> Channel::drop_reply(Clock::time_point deadline) const {
  const auto taken = take(kToClient + kLock, std::max(deadline, Clock::now() + kChannelLock));
  if (!taken) {
    return tl::unexpected{taken.error()};
  }
  if (*taken == Wait::over) {
    return fail(ErrorKind::timed_out, kOrigin,
                "somebody keeps the lock of the channel from VirtualBox; end other clients");
  }
  const Held held{object_, kToClient + kLock};
  return clear_mark(kToClient);
}

/// If it fails, nothing was sent.
Result<void> Channel::send(const Request& request, Clock::time_point deadline) const {
  const auto taken = take(kToServer + kLock, std::max(deadline, Clock::now() + kChannelLock));
  if (!taken) {
    return tl::unexpected{taken.error()};
  }
  if (*taken == Wait::over) {
    return fail(ErrorKind::timed_out, kOrigin,
                "somebody keeps the lock of the channel to VirtualBox; end other clients");
  }
  const Held held{object_, kToServer + kLock};
  return put(request);
}

Result<void> Channel::put(const Request& request) const {
  constexpr std::array<std::byte, Request::kWriteTail> kZeros{};
  std::array<std::byte, 4> size{};
  for (std::size_t i = 0; i < size.size(); ++i) {
    size[i] = static_cast<std::byte>(request.bytes() >> (8 * i));
  }
  constexpr std::array kGood{std::byte{1}};
  auto done = object_.write(kToServer, std::span{request.head}.first(request.head_bytes));
  if (done && !request.data.empty()) {
    done = object_.write(kToServer + request.head_bytes, request.data).and_then([&] {
      return object_.write(kToServer + request.head_bytes + request.data.size(), kZeros);
    });
  }
  if (done) {
    done = object_.write(kToServer + kSize, size);
  }
  if (done) {
    done = object_.write(kToServer + kStatus, kGood);
  }
  return done.and_then([&] { return object_.exchange(kToServer + kPresent, 1); }).map([](std::uint8_t) {});
}

/// Size and status are read once, and decide before any byte is copied.
Result<Verdict> Channel::receive(const Request& request, std::span<std::byte> reply,
                                 Clock::time_point deadline) const {
  const auto too_late = [&] {
    return fail(ErrorKind::timed_out, kOrigin,
                fmt::format("VirtualBox did not answer within {} ms, and a late reply would be taken for the "
                            "next one's; attach the VM again, with a larger timeout= if it is only slow",
                            timeout_.count()));
  };
  const auto answered = wait_for_mark(kToClient, true, deadline);
  if (!answered) {
    return tl::unexpected{answered.error()};
  }
  if (*answered == Wait::over) {
    return too_late();
  }
  const auto taken = take(kToClient + kLock, std::max(deadline, Clock::now() + kChannelLock));
  if (!taken) {
    return tl::unexpected{taken.error()};
  }
  if (*taken == Wait::over) {
    return too_late();
  }
  const Held held{object_, kToClient + kLock};
  std::array<std::byte, 4> size{};
  auto read = object_.read(kToClient + kSize, size);
  const auto status = object_.load(kToClient + kStatus);
  if (!read || !status) {
    return tl::unexpected{read ? status.error() : read.error()};
  }
  const Verdict verdict = judge({static_cast<std::uint32_t>(number_of(size)), *status}, request);
  if (verdict == Verdict::done) {
    read = object_.read(kToClient, reply.first(request.reply_bytes));
  }
  const auto cleared = clear_mark(kToClient);
  if (!read || !cleared) {
    return tl::unexpected{read ? cleared.error() : read.error()};
  }
  return verdict;
}

/// A request that VirtualBox has not taken yet is withdrawn, and the reply to one that it has is waited for
/// once more, so that the next client gets a reply of its own. This client does not use it in any case.
void Channel::give_up() const {
  const auto pending = present(kToServer);
  if (pending && *pending) {
    const auto taken = take(kToServer + kLock, Clock::now() + kChannelLock);
    if (taken && *taken == Wait::holds) {
      const Held held{object_, kToServer + kLock};
      static_cast<void>(clear_mark(kToServer));
    }
    return;
  }
  const auto answered = wait_for_mark(kToClient, true, Clock::now() + kGrace);
  if (answered && *answered == Wait::holds) {
    static_cast<void>(drop_reply(Clock::now()));
  }
}

/// The lock of a channel that the dead client may have had when it was killed; VirtualBox has it for a moment
/// only.
void Channel::free_lock(std::size_t channel) const {
  static_cast<void>(take(channel + kLock, Clock::now() + kChannelLock));
  static_cast<void>(object_.exchange(channel + kLock, 0));
}

bool Channel::recover() {
  const auto phase = LockJournal::claim(object_.id());
  if (!phase) {
    return false;
  }
  const Held general{object_, kGeneralLock};
  free_lock(kToServer);
  free_lock(kToClient);
  if (*phase == LockJournal::Phase::asked) {
    static_cast<void>(wait_for_mark(kToServer, false, Clock::now() + timeout_));
    give_up();
  }
  return true;
}

} // namespace vmemfs::vbox
