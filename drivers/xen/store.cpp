// SPDX-License-Identifier: MIT
#include "drivers/xen/store.h"

#include <cerrno>
#include <fmt/format.h>

namespace vmemfs::xen {

Result<Store> Store::open() {
  auto handle = open_store();
  if (!handle) {
    return tl::unexpected{handle.error()};
  }
  return Store{std::move(*handle)};
}

std::optional<std::string> Store::read(const std::string& path) const {
  unsigned size = 0;
  const Malloced<char> value{static_cast<char*>(xs_read(handle_.get(), XBT_NULL, path.c_str(), &size))};
  if (value == nullptr) {
    return std::nullopt;
  }
  return std::string{value.get(), size};
}

std::string Store::name_of(std::uint32_t domain) const {
  return read(fmt::format("/local/domain/{}/name", domain)).value_or("");
}

bool Store::is_introduced(std::uint32_t domain) const {
  return xs_is_domain_introduced(handle_.get(), domain);
}

Result<void> Store::watch(const char* path) {
  if (!xs_watch(handle_.get(), path, path)) {
    return fail_errno(errno, kOrigin, fmt::format("cannot watch {} in xenstore", path));
  }
  return {};
}

Result<std::optional<std::string>> Store::next_event() {
  errno = 0;
  const Malloced<char*> event{xs_check_watch(handle_.get())};
  if (event != nullptr) {
    return std::string{event.get()[XS_WATCH_PATH]};
  }
  if (errno != EAGAIN) {
    return fail(ErrorKind::source_failed, kOrigin, "the connection to xenstore is lost");
  }
  return std::nullopt;
}

} // namespace vmemfs::xen
