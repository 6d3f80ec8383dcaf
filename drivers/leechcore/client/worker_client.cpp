// SPDX-License-Identifier: MIT
#include "drivers/leechcore/client/worker_client.h"

#include "core/text.h"
#include "util/fd_wait.h"
#include "util/log.h"

#include <algorithm>
#include <cerrno>
#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <string_view>
#include <sys/socket.h>
#include <unistd.h>
#include <utility>

namespace vmemfs::leechcore {
namespace {

constexpr std::string_view kOrigin = "leechcore";
constexpr std::size_t kMaxReason = 2000;
constexpr std::chrono::seconds kEnding{2};

} // namespace

Result<std::unique_ptr<WorkerClient>> WorkerClient::start(const WorkerSettings& settings, FdWatcher& watcher,
                                                          std::function<void()> on_lost) {
  auto shared = SharedMapping::create();
  if (!shared) {
    return tl::unexpected{shared.error()};
  }
  int ends[2];
  if (::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) != 0) {
    return fail_errno(errno, kOrigin, "cannot create a socket for the worker process");
  }
  UniqueFd ours{ends[0]};
  const UniqueFd theirs{ends[1]};
  if (::pipe2(ends, O_CLOEXEC) != 0) {
    return fail_errno(errno, kOrigin, "cannot create a pipe for the worker process");
  }
  UniqueFd output{ends[0]};
  const UniqueFd output_end{ends[1]};
  if (::fcntl(output.get(), F_SETFL, O_NONBLOCK) != 0) {
    return fail_errno(errno, kOrigin, "cannot read a pipe without waiting");
  }
  auto process = WorkerProcess::start(settings.program, {theirs.get(), shared->fd(), output_end.get()});
  if (!process) {
    return tl::unexpected{std::move(process.error())};
  }
  std::unique_ptr<WorkerClient> client{new WorkerClient{settings, std::move(*shared), std::move(ours),
                                                        std::move(*process), std::move(on_lost)}};
  if (auto watched = client->watch(std::move(output), watcher); !watched) {
    return tl::unexpected{std::move(watched.error())};
  }
  return client;
}

WorkerClient::WorkerClient(WorkerSettings settings, SharedMapping shared, UniqueFd socket,
                           std::unique_ptr<WorkerProcess> process, std::function<void()> on_lost)
    : settings_{std::move(settings)}, shared_{std::move(shared)}, socket_{std::move(socket)},
      process_{std::move(process)}, on_lost_{std::move(on_lost)} {}

WorkerClient::~WorkerClient() {
  end_watch_.end();
  socket_.reset(); // the worker closes the device and ends
  if (output_ != nullptr) {
    output_->stop();
  }
}

Result<void> WorkerClient::watch(UniqueFd output, FdWatcher& watcher) {
  auto watched = WorkerOutput::watch(std::move(output), watcher, settings_.name);
  if (!watched) {
    return tl::unexpected{std::move(watched.error())};
  }
  output_ = std::move(*watched);
  auto end = watcher.watch_once(process_->pidfd(), [this] { lose(process_->how_it_ended()); });
  if (!end) {
    return tl::unexpected{std::move(end.error())};
  }
  end_watch_ = std::move(*end);
  return {};
}

Result<WorkerClient::Opened> WorkerClient::open(const OpenRequest& request) {
  const auto text = to_text(request);
  if (!text) {
    return tl::unexpected{text.error()};
  }
  std::ranges::copy(*text, shared_.area().text.begin());
  const auto reply = ask({Operation::open, 0, 0, static_cast<std::uint32_t>(text->size())});
  if (!reply) {
    return tl::unexpected{reply.error()};
  }
  std::string answer = text_of(*reply);
  if (!reply->ok) {
    const std::string printed = output_->last_lines();
    return fail(ErrorKind::source_failed, kOrigin,
                fmt::format("{}{}{}", printable(answer, kMaxReason),
                            printed.empty() ? "" : "; it printed: ", printed));
  }
  return Opened{*reply, std::move(answer)};
}

tl::expected<void, ErrorKind> WorkerClient::scatter(Operation operation, std::size_t count,
                                                    Results& results) {
  const auto reply = ask({operation, static_cast<std::uint32_t>(count), 0, 0});
  if (!reply) {
    return tl::unexpected{ErrorKind::vm_gone};
  }
  if (!reply->ok) {
    log::warning("{}: the worker process refuses a call: {}", settings_.name,
                 printable(text_of(*reply), kMaxReason));
    return tl::unexpected{ErrorKind::source_failed};
  }
  std::copy_n(shared_.area().results.begin(), count, results.begin());
  return {};
}

/// After an error the worker may answer at any time what is not expected any more: it is of no use.
Result<Reply> WorkerClient::ask(Request request) {
  if (lost()) {
    return fail(ErrorKind::vm_gone, kOrigin,
                fmt::format("the worker process that has LeechCore has ended: {}", process_->how_it_ended()));
  }
  request.sequence = ++sequence_;
  auto reply = exchange(request);
  if (!reply) {
    lose(reply.error().text);
    reply.error().text =
        fmt::format("the worker process that has LeechCore was given up: {}", reply.error().text);
  }
  return reply;
}

Result<Reply> WorkerClient::exchange(const Request& request) {
  const Message message = to_message(request);
  if (::send(socket_.get(), message.data(), message.size(), MSG_NOSIGNAL | MSG_DONTWAIT) < 0) {
    return fail(ErrorKind::source_failed, kOrigin, process_->how_it_ended());
  }
  const auto ready = wait_for_fd(socket_.get(), POLLIN, deadline());
  if (!ready) {
    return tl::unexpected{ready.error()};
  }
  if (!*ready) {
    return fail(ErrorKind::timed_out, kOrigin,
                fmt::format("LeechCore did not answer within {} ms; timeout= is its limit",
                            settings_.timeout.count()));
  }
  std::array<std::byte, kMessageSize + 1> packet;
  const ssize_t size = ::recv(socket_.get(), packet.data(), packet.size(), MSG_DONTWAIT);
  if (size <= 0) {
    // The socket of a process that ends is closed before it can be waited for.
    static_cast<void>(wait_for_fd(process_->pidfd(), POLLIN, std::chrono::steady_clock::now() + kEnding));
    return fail(ErrorKind::source_failed, kOrigin, process_->how_it_ended());
  }
  return parse_reply({packet.data(), static_cast<std::size_t>(size)}, request.sequence);
}

/// A copy: the worker may change the original while it is parsed.
std::string WorkerClient::text_of(const Reply& reply) {
  return {shared_.area().text.data(), reply.text_size};
}

void WorkerClient::lose(const std::string& reason) {
  if (lost_.exchange(true, std::memory_order_acq_rel)) {
    return;
  }
  log::warning("{}: the worker process that has LeechCore is lost: {}", settings_.name, reason);
  process_->kill();
  on_lost_();
}

} // namespace vmemfs::leechcore
