// SPDX-License-Identifier: MIT
#include "support/network/delayed_link.h"

#include <algorithm>
#include <array>
#include <cstddef>
#include <sys/socket.h>

namespace vmemfs::test {
namespace {

bool send_all(const UniqueFd& to, std::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t sent = ::send(to.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL);
    if (sent <= 0) {
      return false;
    }
    bytes.remove_prefix(static_cast<std::size_t>(sent));
  }
  return true;
}

} // namespace

void DelayedBytes::put(std::string bytes, Clock::time_point arrives) {
  const std::scoped_lock lock{mutex_};
  chunks_.emplace_back(arrives, std::move(bytes));
  changed_.notify_all();
}

std::string DelayedBytes::take() {
  std::unique_lock lock{mutex_};
  changed_.wait(lock, [this] { return !chunks_.empty(); });
  const auto arrives = chunks_.front().first;
  lock.unlock();
  std::this_thread::sleep_until(arrives);
  lock.lock();
  std::string bytes = std::move(chunks_.front().second);
  chunks_.pop_front();
  const auto now = Clock::now();
  while (!bytes.empty() && !chunks_.empty() && chunks_.front().first <= now &&
         !chunks_.front().second.empty()) {
    bytes += chunks_.front().second;
    chunks_.pop_front();
  }
  return bytes;
}

DelayedLink::DelayedLink(UniqueFd client, UniqueFd server, std::chrono::microseconds delay, Note requested,
                         Note replied)
    : client_{std::move(client)}, server_{std::move(server)}, delay_{delay}, requested_{std::move(requested)},
      replied_{std::move(replied)}, requests_{[this] { receive(client_, to_server_, requested_); }},
      requests_out_{[this] { send(to_server_, server_, [](auto) {}); }},
      replies_{[this] { receive(server_, to_client_, [](auto) {}); }},
      replies_out_{[this] { send(to_client_, client_, replied_); }} {}

DelayedLink::~DelayedLink() {
  ::shutdown(client_.get(), SHUT_RDWR);
  ::shutdown(server_.get(), SHUT_RDWR);
}

void DelayedLink::receive(const UniqueFd& from, DelayedBytes& under_way, const Note& arrived) const {
  std::array<char, 65536> buffer{};
  for (ssize_t got = 1; got > 0;) {
    got = ::recv(from.get(), buffer.data(), buffer.size(), 0);
    const std::string_view bytes{buffer.data(), static_cast<std::size_t>(std::max<ssize_t>(got, 0))};
    arrived(bytes);
    under_way.put(std::string{bytes}, DelayedBytes::Clock::now() + delay_);
  }
}

void DelayedLink::send(DelayedBytes& under_way, const UniqueFd& to, const Note& leaves) {
  for (std::string bytes = under_way.take(); !bytes.empty(); bytes = under_way.take()) {
    leaves(bytes);
    if (!send_all(to, bytes)) {
      break;
    }
  }
  ::shutdown(to.get(), SHUT_WR);
  --open_directions_;
}

} // namespace vmemfs::test
