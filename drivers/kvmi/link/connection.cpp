// SPDX-License-Identifier: MIT
#include "drivers/kvmi/link/connection.h"

#include "util/fd_wait.h"
#include "util/limited_wait.h"
#include "util/signals.h"
#include "util/work_limit.h"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <fmt/format.h>
#include <poll.h>
#include <sys/socket.h>
#include <utility>

namespace vmemfs::kvmi {
namespace {

constexpr std::string_view kOrigin = "kvmi";

std::size_t wire_size(const Request& request) {
  return kHeaderSize + request.head.size() + request.bytes.size();
}

/// How many of the requests, from the first one, go out together.
std::size_t part_of(std::span<const Request> requests) {
  std::size_t bytes = 0;
  std::size_t count = 0;
  while (count < requests.size() && count < Connection::kMaxInFlight) {
    bytes += wire_size(requests[count]);
    if (count > 0 && bytes > Connection::kMaxSent) {
      break;
    }
    ++count;
  }
  return count;
}

} // namespace

Connection::Connection(UniqueFd socket, std::chrono::milliseconds timeout, Callbacks callbacks)
    : socket_{std::move(socket)}, timeout_{timeout}, callbacks_{std::move(callbacks)} {
  send_buffer_.reserve(kMaxSent + kHeaderSize + kMaxPayload);
  for (std::size_t i = kMaxInFlight; i > 0; --i) {
    free_.push_back(static_cast<std::uint16_t>(i - 1));
  }
  const SignalsBlocked blocked; // the main thread gets them
  thread_ = std::jthread{[this] { receive(); }};
}

Connection::~Connection() {
  close("vmemfs needs it no more");
  thread_.join();
}

void Connection::close(const std::string& reason) {
  {
    const MutexLock lock{mutex_};
    if (reason_.empty()) {
      reason_ = reason;
    }
  }
  ended_ = true;
  ::shutdown(socket_.get(), SHUT_RDWR); // wakes the receiving thread, which does the rest
}

std::string Connection::reason() const {
  const MutexLock lock{mutex_};
  return reason_;
}

tl::unexpected<Error> Connection::ended_error() const {
  return fail(ErrorKind::source_failed, kOrigin,
              fmt::format("the connection of the VM has ended: {}", reason_));
}

tl::unexpected<Error> Connection::late() {
  close(fmt::format("no reply within {} ms", timeout_.count()));
  return fail(
      ErrorKind::timed_out, kOrigin,
      fmt::format("the VM gave no reply within {} ms, so its connection was closed; check that its host "
                  "is not overloaded, or set timeout=",
                  timeout_.count()));
}

Result<void> Connection::exchange(std::span<Request> requests) {
  while (!requests.empty()) {
    const std::size_t count = part_of(requests);
    if (auto done = exchange_part(requests.first(count), Clock::now() + timeout_); !done) {
      return done;
    }
    requests = requests.subspan(count);
  }
  return {};
}

Result<void> Connection::exchange_part(std::span<Request> requests, Clock::time_point deadline) {
  std::array<std::uint32_t, kMaxInFlight> all_seqs; // NOLINT(*-member-init): as many as are used get a value
  const std::span<std::uint32_t> seqs = std::span{all_seqs}.first(requests.size());
  Batch batch{requests.size(), {}};
  if (auto taken = take_slots(requests, seqs, batch, deadline); !taken) {
    return taken;
  }
  if (auto sent = send(requests, seqs, deadline); !sent) {
    close(sent.error().text); // a part of a message may have gone out
    const MutexLock lock{mutex_};
    abandon(seqs);
    return sent;
  }
  return wait(batch, seqs, deadline);
}

Result<void> Connection::take_slots(std::span<Request> requests, std::span<std::uint32_t> seqs, Batch& batch,
                                    Clock::time_point deadline) {
  if (!turn_lock_.try_lock_until(deadline)) {
    return no_turn();
  }
  const MutexLock turn{turn_lock_, std::adopt_lock};
  ReleasableMutexLock lock{mutex_};
  const bool enough = wait_within_limit(
      freed_, mutex_, deadline, [&]() REQUIRES(mutex_) { return ended_ || free_.size() >= requests.size(); });
  if (ended_) {
    return ended_error();
  }
  if (!enough) {
    lock.unlock();
    return no_turn();
  }
  ++turn_;
  for (std::size_t i = 0; i < requests.size(); ++i) {
    const std::uint16_t index = free_.back();
    free_.pop_back();
    seqs[i] = turn_ * static_cast<std::uint32_t>(kMaxInFlight) + index;
    slots_.at(index) = {seqs[i], requests[i].id, true, &requests[i], &batch, deadline};
  }
  return {};
}

/// Other requests took all the time: only if one of them is late the VM is to blame.
tl::unexpected<Error> Connection::no_turn() {
  if (WorkLimit::over()) {
    return WorkLimit::exceeded(kOrigin);
  }
  bool overdue = false;
  {
    const MutexLock lock{mutex_};
    const auto now = Clock::now();
    overdue = std::ranges::any_of(slots_, [&](const Slot& slot) { return slot.taken && slot.due < now; });
  }
  if (overdue) {
    return late();
  }
  return fail(ErrorKind::timed_out, kOrigin,
              fmt::format("other requests to the VM took more than {} ms; try again, or set timeout=",
                          timeout_.count()));
}

Result<void> Connection::send(std::span<const Request> requests, std::span<const std::uint32_t> seqs,
                              Clock::time_point deadline) {
  if (!send_lock_.try_lock_until(deadline)) {
    return WorkLimit::over() ? WorkLimit::exceeded(kOrigin) : late();
  }
  const MutexLock lock{send_lock_, std::adopt_lock};
  send_buffer_.clear();
  for (std::size_t i = 0; i < requests.size(); ++i) {
    const Request& request = requests[i];
    const std::size_t at = send_buffer_.size();
    send_buffer_.resize(at + kHeaderSize);
    store_header(std::span{send_buffer_}.subspan(at), request.id, request.head.size() + request.bytes.size(),
                 seqs[i]);
    send_buffer_.insert(send_buffer_.end(), request.head.begin(), request.head.end());
    send_buffer_.insert(send_buffer_.end(), request.bytes.begin(), request.bytes.end());
  }
  return send_bytes(send_buffer_, deadline);
}

Result<void> Connection::send_alone(std::span<const std::byte> message) {
  const auto deadline = Clock::now() + timeout_;
  if (!send_lock_.try_lock_until(deadline)) {
    return late();
  }
  const MutexLock lock{send_lock_, std::adopt_lock};
  return send_bytes(message, deadline);
}

Result<void> Connection::send_bytes(std::span<const std::byte> bytes, Clock::time_point deadline) {
  while (!bytes.empty()) {
    const ssize_t sent = ::send(socket_.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
    if (sent > 0) {
      bytes = bytes.subspan(static_cast<std::size_t>(sent));
    } else if (errno == EAGAIN) {
      const auto ready = wait_for_fd(socket_.get(), POLLOUT, deadline);
      if (!ready) {
        return tl::unexpected{ready.error()};
      }
      if (!*ready) {
        return fail(ErrorKind::timed_out, kOrigin,
                    fmt::format("the VM takes no requests for {} ms; check that its host is not overloaded",
                                timeout_.count()));
      }
    } else if (errno != EINTR) {
      return fail(
          ErrorKind::source_failed, kOrigin,
          fmt::format("cannot send to the VM: {}", std::strerror(errno))); // NOLINT(concurrency-mt-unsafe)
    }
  }
  return {};
}

Result<void> Connection::wait(Batch& batch, std::span<const std::uint32_t> seqs, Clock::time_point deadline) {
  ReleasableMutexLock lock{mutex_};
  wait_within_limit(batch.done, mutex_, deadline,
                    [&]() REQUIRES(mutex_) { return ended_ || batch.missing == 0; });
  if (batch.missing == 0) {
    return {};
  }
  abandon(seqs); // from here on nobody writes to the requests
  if (ended_) {
    return ended_error();
  }
  lock.unlock();
  return Clock::now() < deadline ? WorkLimit::exceeded(kOrigin) : late();
}

/// Their replies may still come; until then the slots stay taken.
void Connection::abandon(std::span<const std::uint32_t> seqs) {
  for (const std::uint32_t seq : seqs) {
    Slot& slot = slots_.at(seq % kMaxInFlight);
    if (slot.taken && slot.seq == seq) {
      slot.request = nullptr;
      slot.batch = nullptr;
    }
  }
}

void Connection::receive() {
  MessageReader reader;
  for (;;) {
    const auto message = reader.next();
    if (!message) {
      close(message.error().text);
      break;
    }
    if (*message) {
      if (const auto taken = take(**message); !taken) {
        close(taken.error().text);
        break;
      }
      continue;
    }
    const auto room = reader.room();
    const ssize_t received = ::recv(socket_.get(), room.data(), room.size(), 0);
    if (received > 0) {
      reader.added(static_cast<std::size_t>(received));
    } else if (received == 0 || errno != EINTR) {
      close(received == 0 ? "the VM closed it" : std::strerror(errno)); // NOLINT(concurrency-mt-unsafe)
      break;
    }
  }
  fail_all();
  callbacks_.ended();
}

Result<void> Connection::take(const Message& message) {
  answered_ = true;
  if (callbacks_.is_event(message.id)) {
    return callbacks_.event(message);
  }
  const auto reply = parse_reply(message.payload);
  if (!reply) {
    return tl::unexpected{reply.error()};
  }
  const MutexLock lock{mutex_};
  const auto index = static_cast<std::uint16_t>(message.seq % kMaxInFlight);
  Slot& slot = slots_.at(index);
  if (!slot.taken || slot.seq != message.seq || slot.id != message.id) {
    return fail(ErrorKind::source_failed, kOrigin,
                fmt::format("the VM sent a reply that belongs to no request: message {}, number {}",
                            message.id, message.seq));
  }
  if (slot.request != nullptr) {
    Request& request = *slot.request;
    request.status = reply->status;
    request.size = reply->data.size();
    request.complete = true;
    const auto data = reply->data.first(std::min(reply->data.size(), request.into.size()));
    std::ranges::copy(data, request.into.begin());
    if (--slot.batch->missing == 0) {
      slot.batch->done.notify_one();
    }
  }
  slot = {};
  free_.push_back(index);
  freed_.notify_all();
  return {};
}

/// Wakes everybody who waits; each abandons its own requests.
void Connection::fail_all() {
  const MutexLock lock{mutex_};
  freed_.notify_all();
  for (const Slot& slot : slots_) {
    if (slot.batch != nullptr) {
      slot.batch->done.notify_one();
    }
  }
}

} // namespace vmemfs::kvmi
