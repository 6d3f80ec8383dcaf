// SPDX-License-Identifier: MIT
// The listening socket: of root and the mount's user alone.
//
// A UNIX socket is in a folder that nobody else can change, has mode 0600 from the start, and each connection
// is checked for its user. On vsock, which knows no users, only this host's own end (the host that runs our
// VM, or the loopback) may connect.
#pragma once

#include "core/error.h"
#include "drivers/kvmi/hub/endpoint.h"
#include "util/unique_fd.h"

#include <optional>
#include <string>
#include <sys/types.h>

namespace vmemfs::kvmi {

class ListenSocket {
public:
  /// Replaces a socket file that nobody listens at, if it belongs to this user; nothing else is ever removed.
  /// busy: a process listens there. invalid, permission: see the text.
  static Result<ListenSocket> open(const Endpoint& endpoint);
  ListenSocket(ListenSocket&& other) noexcept;
  ListenSocket& operator=(ListenSocket&&) = delete;
  ListenSocket(const ListenSocket&) = delete;
  ListenSocket& operator=(const ListenSocket&) = delete;
  ~ListenSocket(); ///< removes its file, unless another one has replaced it

  [[nodiscard]] int fd() const { return socket_.get(); }

  struct Accepted {
    UniqueFd socket;
    pid_t process = 0; ///< 0: unknown
  };
  /// The next connection, if one waits. permission: it was of another user, and closed.
  [[nodiscard]] Result<std::optional<Accepted>> accept() const;

private:
  ListenSocket(Endpoint endpoint, UniqueFd socket)
      : endpoint_{std::move(endpoint)}, socket_{std::move(socket)} {}
  [[nodiscard]] Result<void> bind_unix();
  [[nodiscard]] Result<void> bind_vsock() const;
  [[nodiscard]] Result<pid_t> check_unix(int socket) const;
  [[nodiscard]] Result<void> check_vsock(int socket) const;

  Endpoint endpoint_;
  UniqueFd socket_;
  std::string file_; ///< the endpoint's path without links
  dev_t device_ = 0; ///< of the file that was made
  ino_t inode_ = 0;  ///< 0: none was
};

} // namespace vmemfs::kvmi
