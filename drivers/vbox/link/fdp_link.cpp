// SPDX-License-Identifier: MIT
#include "drivers/vbox/link/fdp_link.h"

#include "core/text.h"
#include "drivers/vbox/shared/byte_exchange.h"
#include "util/log.h"

#include <algorithm>
#include <fmt/format.h>
#include <utility>

namespace vmemfs::vbox {
namespace {

constexpr std::string_view kOrigin = "vbox";
/// Of the object CPU_NAME, which is only checked: it has the registers of vCPU 0 alone, and not all of them.
constexpr std::size_t kCpuObjectBytes = 224;
/// Between two looks for a note of a vmemfs that was killed.
constexpr std::chrono::milliseconds kLockTry{250};
constexpr std::uint64_t kMinRam = std::uint64_t{1} << 20U;
constexpr std::uint64_t kMaxRam = std::uint64_t{1} << 46U;

} // namespace

Result<std::unique_ptr<FdpLink>> FdpLink::open(std::string_view name, std::chrono::milliseconds timeout) {
  if (!can_exchange_bytes()) {
    return fail(ErrorKind::unsupported, kOrigin, "FDP works on x86-64 hosts only");
  }
  auto object = SharedObject::open(name, Channel::kObjectBytes);
  if (!object) {
    return tl::unexpected{std::move(object.error())};
  }
  const auto cpu = SharedObject::open(fmt::format("CPU_{}", name), kCpuObjectBytes);
  if (!cpu) {
    return tl::unexpected{cpu.error()};
  }
  if (cpu->owner() != object->owner()) {
    return fail(
        ErrorKind::permission, kOrigin,
        fmt::format("the shared memory '{}' belongs to user {} and 'CPU_{}' to user {}: one of them is "
                    "not VirtualBox's; remove it",
                    printable(name), object->owner(), printable(name), cpu->owner()));
  }
  return std::unique_ptr<FdpLink>{new FdpLink{std::move(*object), timeout}};
}

tl::unexpected<Error> FdpLink::gone_error() const {
  return fail(ErrorKind::vm_gone, kOrigin,
              fmt::format("the VM '{}' has ended, or its connection is lost; attach it again",
                          printable(object_.name())));
}

void FdpLink::end(const Error& why) {
  if (!ended_.exchange(true)) {
    log::warning("vbox: {}: {}", printable(object_.name()), why.text);
    if (on_end_) {
      on_end_();
    }
  }
}

Result<std::span<const std::byte>> FdpLink::ask(const Request& request, Clock::time_point deadline) {
  if (ended_) {
    return gone_error();
  }
  const auto done = channel_.ask(request, reply_, deadline);
  if (!done) {
    if (channel_.broken() || done.error().kind == ErrorKind::vm_gone) {
      end(done.error());
    }
    return tl::unexpected{done.error()};
  }
  return *done ? std::span<const std::byte>{reply_}.first(request.reply_bytes) : std::span<const std::byte>{};
}

Result<std::uint64_t> FdpLink::number(const Request& request, Clock::time_point deadline) {
  const TimedLock::Owner lock{lock_, deadline};
  if (!lock.owns_lock()) {
    return fail(ErrorKind::busy, kOrigin,
                "other requests took the whole time limit: FDP serves one at a time");
  }
  lock_.assert_held();
  const auto bytes = ask(request, deadline);
  if (!bytes) {
    return tl::unexpected{bytes.error()};
  }
  return bytes->empty()
             ? fail(ErrorKind::unsupported, kOrigin,
                    fmt::format("VirtualBox refused request {}", std::to_integer<unsigned>(request.head[0])))
             : Result<std::uint64_t>{number_of(*bytes)};
}

Result<void> FdpLink::command(const Request& request, std::string_view what, Clock::time_point deadline) {
  const auto done = number(request, deadline);
  if (done ? *done != 0 : done.error().kind != ErrorKind::unsupported) {
    return done ? Result<void>{} : tl::unexpected{done.error()};
  }
  return fail(ErrorKind::source_failed, kOrigin, fmt::format("VirtualBox could not {}", what));
}

Result<GuestState> FdpLink::state(Clock::time_point deadline) {
  return number(state_request(), deadline).map(&state_of);
}

Result<void> FdpLink::read(Gpa gpa, std::size_t size, Clock::time_point deadline, const Take& take) {
  const TimedLock::Owner lock{lock_, deadline};
  if (!lock.owns_lock() || Clock::now() >= deadline) {
    return fail(ErrorKind::busy, kOrigin,
                "other requests took the whole time limit: FDP serves one at a time");
  }
  lock_.assert_held();
  const auto bytes = ask(read_request(gpa, size), deadline);
  if (!bytes) {
    return tl::unexpected{bytes.error()};
  }
  if (bytes->empty()) {
    return fail(ErrorKind::bad_page, kOrigin,
                fmt::format("VirtualBox cannot read {} bytes at {:#x}", size, gpa.value()));
  }
  take(*bytes);
  return {};
}

bool FdpLink::recover(Clock::time_point deadline) {
  const TimedLock::Owner lock{lock_, deadline};
  if (!lock.owns_lock()) {
    return false;
  }
  lock_.assert_held();
  const bool recovered = channel_.recover();
  if (recovered) {
    log::info("vbox: {}: released the general lock of a vmemfs that was killed", printable(object_.name()));
  }
  return recovered;
}

/// The first request. A lock that stays taken may be that of a vmemfs which was killed: its note counts once
/// all its threads have ended, which may be later than who waits for its end notices that. A note of a lock
/// that is free again is out of date, and must not be taken for one of a lock that somebody has later.
Result<std::uint64_t> FdpLink::ask_vcpus(Clock::time_point deadline) {
  for (;;) {
    auto vcpus = number(simple_request(Opcode::cpu_count, 4), std::min(deadline, Clock::now() + kLockTry));
    if (vcpus) {
      static_cast<void>(LockJournal::claim(object_.id()));
      return vcpus;
    }
    if (vcpus.error().kind != ErrorKind::busy || (!recover(deadline) && Clock::now() >= deadline)) {
      return vcpus;
    }
  }
}

Result<GuestFacts> FdpLink::greet(Clock::time_point deadline) {
  const auto vcpus = ask_vcpus(deadline);
  const auto ram = vcpus ? number(simple_request(Opcode::memory_size, 8), deadline) : vcpus;
  const auto state = ram ? this->state(deadline) : Result<GuestState>{tl::unexpected{ram.error()}};
  if (!state) {
    return tl::unexpected{state.error()};
  }
  if (*vcpus == 0 || *vcpus > kMaxVcpus || *ram < kMinRam || *ram > kMaxRam) {
    return fail(ErrorKind::source_failed, kOrigin,
                fmt::format("'{}' says it has {} vCPUs and {} bytes of RAM, which no VM has: check that "
                            "VirtualBox made it",
                            printable(object_.name()), *vcpus, *ram));
  }
  return GuestFacts{*ram, static_cast<std::uint32_t>(*vcpus), *state};
}

bool FdpLink::state_changed() const {
  const auto mark = object_.load(Channel::kStateChanged);
  return mark && *mark != 0;
}

void FdpLink::check() {
  if (const auto checked = object_.check_name(); !checked && checked.error().kind == ErrorKind::vm_gone) {
    end(checked.error());
  }
}

} // namespace vmemfs::vbox
