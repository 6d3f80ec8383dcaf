// SPDX-License-Identifier: MIT
// Owning handles for the objects of Xen's libraries, one type each.
//
// Thread-safety is the libraries': a control handle and a foreign memory handle serve any number of threads
// at a time (the first has its own locks, the second keeps no state between calls); so does an xenstore
// connection, which serializes its requests.
#pragma once

#include "core/error.h"
#include "drivers/xen/xen_headers.h"

#include <cstdlib>
#include <memory>
#include <utility>

namespace vmemfs::xen {

inline constexpr std::string_view kOrigin = "xen";

/// The libraries' messages go to our log at debug level instead of standard error.
[[nodiscard]] xentoollog_logger* tool_log();

/// For what the libraries allocate with malloc().
struct FreeMalloced {
  // NOLINTNEXTLINE(cppcoreguidelines-no-malloc): this type manages it
  void operator()(void* memory) const { std::free(memory); }
};
template <typename T> using Malloced = std::unique_ptr<T, FreeMalloced>;

struct CloseControl {
  void operator()(xc_interface* handle) const { xc_interface_close(handle); }
};
/// libxenctrl: hypercalls about domains.
using Control = std::unique_ptr<xc_interface, CloseControl>;

/// unsupported: this is not a Xen host. permission: not root, or not a domain that may control others.
[[nodiscard]] Result<Control> open_control();

struct CloseForeignMemory {
  void operator()(xenforeignmemory_handle* handle) const { xenforeignmemory_close(handle); }
};
using ForeignMemoryHandle = std::unique_ptr<xenforeignmemory_handle, CloseForeignMemory>;

[[nodiscard]] Result<ForeignMemoryHandle> open_foreign_memory();

struct CloseStore {
  void operator()(xs_handle* handle) const { xs_close(handle); }
};
using StoreHandle = std::unique_ptr<xs_handle, CloseStore>;

[[nodiscard]] Result<StoreHandle> open_store();

} // namespace vmemfs::xen
