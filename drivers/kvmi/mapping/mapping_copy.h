// SPDX-License-Identifier: MIT
// Copies out of a mapping whose pages may vanish at any time.
#pragma once

#include <cstddef>
#include <span>

namespace vmemfs::kvmi {

/// Fills `into` from our own memory at `from`; false if a page of it is not there. The kernel copies
/// (process_vm_readv), as a load would be SIGBUS.
[[nodiscard]] bool copy_from_mapping(const std::byte* from, std::span<std::byte> into);

} // namespace vmemfs::kvmi
