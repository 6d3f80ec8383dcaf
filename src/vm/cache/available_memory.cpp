// SPDX-License-Identifier: MIT
#include "vm/cache/available_memory.h"

#include <fstream>
#include <string>

namespace vmemfs {

std::uint64_t available_memory() {
  constexpr std::uint64_t kKib = 1024;
  std::ifstream lines{"/proc/meminfo"};
  for (std::string key; lines >> key;) {
    std::uint64_t kib = 0;
    if (key == "MemAvailable:" && lines >> kib) {
      return kib * kKib;
    }
  }
  return 0;
}

} // namespace vmemfs
