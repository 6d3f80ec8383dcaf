// Names of VMs' directories. A VM's own name is its owner's choice and not trusted.
#pragma once

#include "core/error.h"

#include <string>
#include <string_view>

namespace vmemfs {

/// Why `name`, given by the user, can't be a directory's name, if it can't.
[[nodiscard]] Result<void> check_vm_name(std::string_view name);

/// A name like `wanted` that is a harmless file name: what could lead elsewhere ('/', a '.' in front), look
/// like an option ('-' in front) or play tricks on a terminal (control characters, changes of the writing
/// direction, bytes that are no UTF-8) becomes '_'; what is too long is cut. Empty only if `wanted` is.
[[nodiscard]] std::string safe_vm_name(std::string_view wanted);

/// What the directory of a VM is called that nobody has named: its own name, its uuid or its number, the
/// first that it has.
[[nodiscard]] std::string vm_base_name(std::string_view name, std::string_view uuid, std::string_view number);

/// What several VMs of one name are called: attempt 0 is `base` itself, 1 has `number` after it, and so on.
/// Never longer than a file name may be.
[[nodiscard]] std::string vm_name_candidate(std::string_view base, std::string_view number, unsigned attempt);

} // namespace vmemfs
