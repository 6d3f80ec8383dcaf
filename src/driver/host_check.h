// SPDX-License-Identifier: MIT
// Result of one check of the host, for `vmemfs check`.
#pragma once

#include <string>

namespace vmemfs {

enum class Weight : unsigned char {
  needed,  ///< without it nothing can be mounted, or the VM's memory cannot be read
  helpful, ///< without it some functions or VMs are limited
};

struct HostCheck {
  std::string what; ///< a few words, fit for a terminal
  bool good;
  Weight weight;
  std::string detail; ///< what was found; or what is missing, and the remedy
};

} // namespace vmemfs
