// SPDX-License-Identifier: MIT
#include "linux/sockets/socket_reader.h"

#include "linux/structures/structure_copy.h"

#include <algorithm>
#include <array>
#include <cstddef>
#include <span>
#include <string_view>

namespace vmemfs {
namespace {

using Bytes2 = std::array<unsigned char, 2>;
using Bytes4 = std::array<unsigned char, 4>;
using Bytes16 = std::array<unsigned char, 16>;

OpenSocket::End local_end(const StructureCopy& sock, const SocketLayout& layout) {
  OpenSocket::End end{.address = {}, .port = sock.number<std::uint16_t>(layout.local_port)};
  std::ranges::copy(sock.number<Bytes4>(layout.local_address), end.address.begin());
  return end;
}

OpenSocket::End peer_end(const StructureCopy& sock, const SocketLayout& layout) {
  const auto port = sock.number<Bytes2>(layout.peer_port);
  OpenSocket::End end{.address = {}, .port = static_cast<std::uint16_t>(port[0] << 8U | port[1])};
  std::ranges::copy(sock.number<Bytes4>(layout.peer_address), end.address.begin());
  return end;
}

void set_ends(OpenSocket& found, const StructureCopy& sock, const SocketLayout& layout) {
  const bool is_inet6 = found.family == OpenSocket::inet6;
  if (found.family != OpenSocket::inet && !(is_inet6 && layout.addresses6)) {
    return;
  }
  found.local = local_end(sock, layout);
  found.peer = peer_end(sock, layout);
  if (is_inet6) {
    found.local->address = sock.number<Bytes16>(layout.addresses6->local);
    found.peer->address = sock.number<Bytes16>(layout.addresses6->peer);
  }
}

} // namespace

std::optional<bool> SocketReader::is_in_sockfs(std::uint64_t file) const {
  constexpr std::string_view kSockfs = "sockfs";
  std::optional<std::uint64_t> address = file;
  for (const std::uint64_t offset : {layout_.file_inode, layout_.filesystem->of_inode,
                                     layout_.filesystem->type, layout_.filesystem->name}) {
    address = address ? memory_.value<std::uint64_t>(*address + offset) : std::nullopt;
  }
  std::array<char, kSockfs.size() + 1> name{};
  if (!address || memory_.read(*address, std::as_writable_bytes(std::span{name})) != name.size()) {
    return std::nullopt;
  }
  return name.back() == '\0' && std::string_view{name.data()} == kSockfs;
}

std::optional<bool> SocketReader::is_socket(std::uint64_t file) const {
  if (!operations_) {
    return is_in_sockfs(file);
  }
  const auto operations = memory_.value<std::uint64_t>(file + layout_.file_operations);
  return operations ? std::optional{*operations == operations_} : std::nullopt;
}

std::optional<std::uint64_t> SocketReader::inode_of(std::uint64_t file) const {
  const auto inode = memory_.value<std::uint64_t>(file + layout_.file_inode);
  return inode ? memory_.value<std::uint64_t>(*inode + layout_.inode_number) : std::nullopt;
}

std::optional<std::string> SocketReader::unix_name(std::uint64_t sock) const {
  constexpr std::uint32_t kFamily = 2; // bytes before the name, which the length has too
  const auto address = memory_.value<std::uint64_t>(sock + layout_.unix_socket->address);
  if (!address || *address == 0) {
    return address ? std::optional{std::string{}} : std::nullopt;
  }
  const auto length = memory_.value<std::uint32_t>(*address + layout_.unix_socket->length);
  if (!length || *length <= kFamily || *length > kFamily + kMaxName) {
    return std::nullopt;
  }
  std::string text(*length - kFamily, '\0');
  const auto bytes = std::as_writable_bytes(std::span{text});
  if (memory_.read(*address + layout_.unix_socket->name + kFamily, bytes) != text.size()) {
    return std::nullopt;
  }
  if (text.front() != '\0') {
    text.resize(std::min(text.find('\0'), text.size()));
  }
  return text;
}

std::optional<std::uint64_t> SocketReader::unix_peer(std::uint64_t sock) const {
  const auto peer = memory_.value<std::uint64_t>(sock + layout_.unix_socket->peer);
  const auto socket = peer && *peer != 0 ? memory_.value<std::uint64_t>(*peer + layout_.socket) : peer;
  if (!socket || *socket == 0) {
    return socket;
  }
  const auto file = memory_.value<std::uint64_t>(*socket + layout_.socket_file);
  if (!file || memory_.value<std::uint64_t>(*socket + layout_.socket_sock) != peer) {
    return std::nullopt;
  }
  return *file == 0 ? file : inode_of(*file);
}

std::optional<OpenSocket> SocketReader::read(std::uint64_t file) const {
  const auto socket = memory_.value<std::uint64_t>(file + layout_.file_private);
  const auto inode = inode_of(file);
  if (!socket || !inode || !is_socket(file).value_or(false) ||
      memory_.value<std::uint64_t>(*socket + layout_.socket_file) != file) {
    return std::nullopt;
  }
  const std::uint64_t sock = memory_.value<std::uint64_t>(*socket + layout_.socket_sock).value_or(0);
  const auto copy = StructureCopy::read(memory_, sock, layout_.size);
  if (!copy || copy->pointer(layout_.socket) != *socket) {
    return std::nullopt;
  }
  OpenSocket found{.file = file,
                   .socket = *socket,
                   .sock = sock,
                   .inode = *inode,
                   .family = copy->number<std::uint16_t>(layout_.family),
                   .type = copy->number<std::uint16_t>(layout_.type),
                   .protocol = copy->number<std::uint16_t>(layout_.protocol),
                   .state = copy->number<std::uint8_t>(layout_.state),
                   .local = std::nullopt,
                   .peer = std::nullopt,
                   .name = std::nullopt,
                   .peer_inode = std::nullopt,
                   .netlink_port = std::nullopt};
  set_ends(found, *copy, layout_);
  if (found.family == OpenSocket::unix_socket && layout_.unix_socket) {
    found.name = unix_name(sock);
    found.peer_inode = unix_peer(sock);
  }
  if (found.family == OpenSocket::netlink && layout_.netlink_port) {
    found.netlink_port = memory_.value<std::uint32_t>(sock + *layout_.netlink_port);
  }
  return found;
}

} // namespace vmemfs
