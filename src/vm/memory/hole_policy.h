// SPDX-License-Identifier: MIT
// Treatment of holes and bad pages by a read.
#pragma once

namespace vmemfs {

enum class HolePolicy : unsigned char {
  honest, ///< a hole or bad page ends a read; it is an error at the start of a read
  padded, ///< holes and bad pages read as zeros
  packed, ///< bad pages read as zeros; a hole is treated as in honest mode. For images, which leave holes out
};

} // namespace vmemfs
