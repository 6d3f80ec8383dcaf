// SPDX-License-Identifier: MIT
#include "drivers/kvmi/hub/handshake.h"

#include <algorithm>
#include <cerrno>
#include <span>
#include <sys/socket.h>

namespace vmemfs::kvmi {
namespace {

constexpr std::string_view kOrigin = "kvmi";

} // namespace

Result<std::optional<Greeting>> Handshake::advance(std::string_view secret) {
  while (size_ == 0 || received_ < size_) {
    std::array<std::byte, 4096> ignored; // NOLINT(*-member-init): only written to
    std::span<std::byte> room;
    if (size_ == 0) {
      room = std::span{bytes_}.subspan(received_, kGreetingSizeField - received_);
    } else if (received_ < bytes_.size()) {
      room = std::span{bytes_}.subspan(received_, std::min(size_, bytes_.size()) - received_);
    } else {
      room = std::span{ignored}.first(std::min(ignored.size(), size_ - received_));
    }
    const ssize_t received = ::recv(socket_.get(), room.data(), room.size(), MSG_DONTWAIT);
    if (received == 0) {
      return fail(ErrorKind::source_failed, kOrigin, "a VM closed its connection within its greeting");
    }
    if (received < 0) {
      if (errno == EINTR) {
        continue;
      }
      return errno == EAGAIN ? Result<std::optional<Greeting>>{std::nullopt}
                             : fail_errno(errno, kOrigin, "cannot receive a VM's greeting");
    }
    received_ += static_cast<std::size_t>(received);
    if (size_ == 0 && received_ == kGreetingSizeField) {
      const auto size = greeting_size(std::span{bytes_}.first<kGreetingSizeField>());
      if (!size) {
        return tl::unexpected{size.error()};
      }
      size_ = *size;
    }
  }
  const auto answer = greeting_answer(secret);
  if (::send(socket_.get(), answer.data(), answer.size(), MSG_NOSIGNAL | MSG_DONTWAIT) !=
      static_cast<ssize_t>(answer.size())) {
    return fail_errno(errno, kOrigin, "cannot answer a VM's greeting");
  }
  return parse_greeting(std::span{bytes_}.first(std::min(size_, bytes_.size())));
}

} // namespace vmemfs::kvmi
