#include "util/zeros.h"

namespace vmemfs {

std::span<const std::byte> zeros() {
  // Not const: a constant array would be stored in the program file, this one is in .bss.
  alignas(4096) static std::byte area[(std::size_t{1} << 20U) + 4096];
  return area;
}

} // namespace vmemfs
