// SPDX-License-Identifier: MIT
// Names of VMs' directories. A VM's own name is chosen by its owner and not trusted.
#pragma once

#include "core/error.h"

#include <string>
#include <string_view>

namespace vmemfs {

/// Checks `name`, given by the user, as a directory's name; the error says why it is not one.
[[nodiscard]] Result<void> check_vm_name(std::string_view name);

/// The failure of a VM that should get the name of another one.
[[nodiscard]] tl::unexpected<Error> name_is_taken(std::string_view name);

/// A safe file name similar to `wanted`: characters that could escape the directory ('/', a leading '.'),
/// look like an option (leading '-') or affect a terminal (control characters, changes of the writing
/// direction, bytes that are not UTF-8) become '_'; long names are truncated. Empty only if `wanted` is.
[[nodiscard]] std::string safe_vm_name(std::string_view wanted);

/// Directory name of a VM that the user has not named: the first of its own name, uuid and number that is
/// not empty.
[[nodiscard]] std::string vm_base_name(std::string_view name, std::string_view uuid, std::string_view number);

/// Candidate names of several VMs of one name: attempt 0 is `base` itself, 1 has `number` appended, and so
/// on. Never longer than NAME_MAX.
[[nodiscard]] std::string vm_name_candidate(std::string_view base, std::string_view number, unsigned attempt);

} // namespace vmemfs
