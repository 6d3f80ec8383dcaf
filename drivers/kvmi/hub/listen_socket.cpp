// SPDX-License-Identifier: MIT
#include "drivers/kvmi/hub/listen_socket.h"

#include "core/text.h"
#include "drivers/kvmi/hub/socket_folder.h"

#include <cerrno>
#include <cstring>
#include <fmt/format.h>
#include <linux/vm_sockets.h>
#include <string>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>
#include <utility>

namespace vmemfs::kvmi {
namespace {

constexpr std::string_view kOrigin = "kvmi";
constexpr int kBacklog = 16;

std::optional<sockaddr_un> unix_address(const std::string& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.size() >= sizeof(address.sun_path)) {
    return std::nullopt;
  }
  std::memcpy(static_cast<char*>(address.sun_path), path.c_str(), path.size() + 1);
  return address;
}

/// Removes a socket of this user that an earlier process has left.
Result<void> remove_stale(const std::string& path, const sockaddr_un& address) {
  struct stat file {};
  if (::lstat(path.c_str(), &file) != 0) {
    return errno == ENOENT ? Result<void>{}
                           : fail_errno(errno, kOrigin, fmt::format("cannot use '{}'", printable(path)));
  }
  if (!S_ISSOCK(file.st_mode) || file.st_uid != ::geteuid()) {
    return fail(
        ErrorKind::invalid, kOrigin,
        fmt::format("cannot listen at '{}': there is a file that is not a socket of this user; remove it "
                    "or take another path",
                    printable(path)));
  }
  const UniqueFd probe{::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0)};
  if (!probe) {
    return fail_errno(errno, kOrigin, "cannot make a socket");
  }
  if (::connect(probe.get(), reinterpret_cast<const sockaddr*>(&address), sizeof(address)) == 0 ||
      errno != ECONNREFUSED) {
    return fail(ErrorKind::busy, kOrigin,
                fmt::format("cannot listen at '{}': another process does; end it or take another path",
                            printable(path)));
  }
  if (::unlink(path.c_str()) != 0) {
    return fail_errno(errno, kOrigin, fmt::format("cannot remove the unused socket '{}'", printable(path)));
  }
  return {};
}

} // namespace

ListenSocket::ListenSocket(ListenSocket&& other) noexcept
    : endpoint_{std::move(other.endpoint_)}, socket_{std::move(other.socket_)}, file_{std::move(other.file_)},
      device_{other.device_}, inode_{std::exchange(other.inode_, 0)} {}

ListenSocket::~ListenSocket() {
  struct stat file {};
  if (inode_ != 0 && ::lstat(file_.c_str(), &file) == 0 && file.st_dev == device_ && file.st_ino == inode_) {
    ::unlink(file_.c_str());
  }
}

Result<ListenSocket> ListenSocket::open(const Endpoint& endpoint) {
  const int family = endpoint.is_vsock() ? AF_VSOCK : AF_UNIX;
  ListenSocket made{endpoint, UniqueFd{::socket(family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0)}};
  if (!made.socket_) {
    return fail_errno(errno, kOrigin, fmt::format("cannot make a socket for {}", printable(endpoint.text())));
  }
  if (auto bound = endpoint.is_vsock() ? made.bind_vsock() : made.bind_unix(); !bound) {
    return tl::unexpected{std::move(bound.error())};
  }
  if (::listen(made.fd(), kBacklog) != 0) {
    return fail_errno(errno, kOrigin, fmt::format("cannot listen at {}", printable(endpoint.text())));
  }
  return made;
}

Result<void> ListenSocket::bind_unix() {
  auto path = safe_socket_path(endpoint_.path);
  if (!path) {
    return tl::unexpected{std::move(path.error())};
  }
  file_ = std::move(*path);
  const auto address = unix_address(file_);
  if (!address) {
    return fail(ErrorKind::invalid, kOrigin,
                fmt::format("cannot listen at '{}': a socket's path has {} bytes at most; take a shorter one",
                            printable(endpoint_.path), sizeof(sockaddr_un{}.sun_path) - 1));
  }
  if (auto removed = remove_stale(file_, *address); !removed) {
    return removed;
  }
  // The file takes its mode from the socket: there is no moment at which others may connect.
  if (::fchmod(fd(), S_IRUSR | S_IWUSR) != 0 ||
      ::bind(fd(), reinterpret_cast<const sockaddr*>(&*address), sizeof(*address)) != 0) {
    return fail_errno(errno, kOrigin, fmt::format("cannot listen at '{}'", printable(endpoint_.path)));
  }
  struct stat file {};
  if (::lstat(file_.c_str(), &file) != 0) {
    return fail_errno(errno, kOrigin, fmt::format("cannot listen at '{}'", printable(endpoint_.path)));
  }
  device_ = file.st_dev;
  inode_ = file.st_ino;
  return {};
}

Result<void> ListenSocket::bind_vsock() const {
  sockaddr_vm address{};
  address.svm_family = AF_VSOCK;
  address.svm_cid = VMADDR_CID_ANY;
  address.svm_port = endpoint_.vsock_port;
  if (::bind(fd(), reinterpret_cast<const sockaddr*>(&address), sizeof(address)) != 0) {
    return fail_errno(errno, kOrigin, fmt::format("cannot listen at {}", endpoint_.text()));
  }
  return {};
}

Result<std::optional<ListenSocket::Accepted>> ListenSocket::accept() const {
  UniqueFd socket{::accept4(fd(), nullptr, nullptr, SOCK_CLOEXEC)};
  if (!socket) {
    if (errno == EAGAIN || errno == EINTR || errno == ECONNABORTED) {
      return std::nullopt;
    }
    return fail_errno(errno, kOrigin, fmt::format("cannot accept a VM at {}", printable(endpoint_.text())));
  }
  Accepted accepted{std::move(socket), 0};
  if (endpoint_.is_vsock()) {
    if (auto checked = check_vsock(accepted.socket.get()); !checked) {
      return tl::unexpected{std::move(checked.error())};
    }
    return accepted;
  }
  const auto process = check_unix(accepted.socket.get());
  if (!process) {
    return tl::unexpected{process.error()};
  }
  accepted.process = *process;
  return accepted;
}

Result<pid_t> ListenSocket::check_unix(int socket) const {
  ucred peer{};
  socklen_t size = sizeof(peer);
  if (::getsockopt(socket, SOL_SOCKET, SO_PEERCRED, &peer, &size) != 0) {
    return fail_errno(errno, kOrigin, "cannot ask whose connection it is");
  }
  if (peer.uid != 0 && peer.uid != ::geteuid()) {
    return fail(ErrorKind::permission, kOrigin,
                fmt::format("refused a connection of user {} at '{}': only root and the user who mounted may "
                            "connect",
                            peer.uid, printable(endpoint_.path)));
  }
  return peer.pid;
}

Result<void> ListenSocket::check_vsock(int socket) const {
  sockaddr_vm peer{};
  socklen_t size = sizeof(peer);
  if (::getpeername(socket, reinterpret_cast<sockaddr*>(&peer), &size) != 0) {
    return fail_errno(errno, kOrigin, "cannot ask whose connection it is");
  }
  if (peer.svm_cid != VMADDR_CID_HOST && peer.svm_cid != VMADDR_CID_LOCAL) {
    return fail(ErrorKind::permission, kOrigin,
                fmt::format("refused a connection of the VM with CID {} at {}: only the host may connect",
                            peer.svm_cid, endpoint_.text()));
  }
  return {};
}

} // namespace vmemfs::kvmi
