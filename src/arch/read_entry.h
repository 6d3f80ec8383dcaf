// SPDX-License-Identifier: MIT
// The reading of entries by walks of page tables.
#pragma once

#include "core/gpa.h"

#include <cstdint>
#include <functional>
#include <optional>

namespace vmemfs {

/// Reads the 8 bytes at an address that is a multiple of 8; nullopt if they cannot be read.
using ReadEntry = std::function<std::optional<std::uint64_t>(Gpa)>;

} // namespace vmemfs
