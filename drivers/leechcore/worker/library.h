// SPDX-License-Identifier: MIT
// A loaded leechcore.so and its functions.
//
// Only in the worker process: what a foreign library does to its process, it does not do to the daemon.
#pragma once

#include "core/error.h"
#include "drivers/leechcore/worker/leechcore_abi.h"

#include <string>

namespace vmemfs::leechcore {

/// Never unloaded. All functions are there.
struct Library {
  /// `path`: the library, or the directory that it lies in; empty: as the dynamic linker finds it.
  /// not_found: it cannot be loaded. unsupported: it lacks a function.
  static Result<Library> load(const std::string& path);

  abi::CreateFunction create = nullptr;
  abi::CloseFunction close = nullptr;
  abi::FreeFunction free = nullptr;
  abi::AllocFunction alloc = nullptr;
  abi::ScatterFunction read = nullptr;
  abi::ScatterFunction write = nullptr;
  abi::GetOptionFunction get_option = nullptr;
  abi::CommandFunction command = nullptr;
};

} // namespace vmemfs::leechcore
