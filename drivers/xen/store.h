// SPDX-License-Identifier: MIT
// A connection to xenstore, which has the names of domains and reports when they start and end.
#pragma once

#include "drivers/xen/handles.h"

#include <cstdint>
#include <optional>
#include <string>

namespace vmemfs::xen {

// Special paths to watch.
inline constexpr const char* kDomainCame = "@introduceDomain";
inline constexpr const char* kDomainLeft = "@releaseDomain"; ///< also when a guest has shut down

/// Thread-safe, except next_event(), which is for one thread at a time.
class Store {
public:
  static Result<Store> open();

  /// Empty if there is no such node. A value that the guest may write is not trusted.
  [[nodiscard]] std::optional<std::string> read(const std::string& path) const;
  /// The name that the toolstack gave the domain; empty: none.
  [[nodiscard]] std::string name_of(std::uint32_t domain) const;
  /// True when the toolstack has finished building it.
  [[nodiscard]] bool is_introduced(std::uint32_t domain) const;

  /// Reports changes at `path` from now on, and once at the beginning.
  Result<void> watch(const char* path);
  /// Readable when there may be an event.
  [[nodiscard]] int fd() const { return xs_fileno(handle_.get()); }
  /// The path of the next reported change; empty: none. source_failed: the connection is lost, and no more
  /// events follow.
  [[nodiscard]] Result<std::optional<std::string>> next_event();

private:
  explicit Store(StoreHandle handle) : handle_{std::move(handle)} {}

  StoreHandle handle_;
};

} // namespace vmemfs::xen
