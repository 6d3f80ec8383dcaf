// SPDX-License-Identifier: MIT
// A connection to xenstore, where domains have their names and where it is told that they come and go.
#pragma once

#include "drivers/xen/handles.h"

#include <cstdint>
#include <optional>
#include <string>

namespace vmemfs::xen {

// Special paths that can be watched.
inline constexpr const char* kDomainCame = "@introduceDomain";
inline constexpr const char* kDomainLeft = "@releaseDomain"; ///< also where a guest has shut down

/// Thread-safe, but next_event(), which is for one thread at a time.
class Store {
public:
  static Result<Store> open();

  /// Empty where there is no such node. What a guest may write is not trusted.
  [[nodiscard]] std::optional<std::string> read(const std::string& path) const;
  /// The name that the toolstack gave the domain; empty where it has none.
  [[nodiscard]] std::string name_of(std::uint32_t domain) const;
  /// Whether the toolstack is through with building it.
  [[nodiscard]] bool is_introduced(std::uint32_t domain) const;

  /// Tells of changes at `path` from now on, and once at the beginning.
  Result<void> watch(const char* path);
  /// Readable when there may be an event.
  [[nodiscard]] int fd() const { return xs_fileno(handle_.get()); }
  /// The path of the next change that was heard of; empty where there is none. source_failed: the connection
  /// is lost, and nothing will be heard any more.
  [[nodiscard]] Result<std::optional<std::string>> next_event();

private:
  explicit Store(StoreHandle handle) : handle_{std::move(handle)} {}

  StoreHandle handle_;
};

} // namespace vmemfs::xen
