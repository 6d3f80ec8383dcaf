// SPDX-License-Identifier: MIT
// Places in `struct elf_prstatus` of Linux (include/linux/elfcore.h), the same on all 64-bit architectures.
#pragma once

#include <cstddef>

namespace vmemfs {

inline constexpr std::size_t kPrstatusPid = 32;        ///< number of the thread, 4 bytes
inline constexpr std::size_t kPrstatusRegisters = 112; ///< as the architecture lays them out

} // namespace vmemfs
