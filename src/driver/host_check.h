// One thing that a host has or lacks, for `vmemfs check`.
#pragma once

#include <string>

namespace vmemfs {

enum class Weight : unsigned char {
  needed,  ///< without it nothing can be mounted, or that VM's memory can't be read
  helpful, ///< without it something works less well, or only for some VMs
};

struct HostCheck {
  std::string what; ///< a few words, fit for a terminal
  bool good;
  Weight weight;
  std::string detail; ///< what is there; or else what is not, and what helps
};

} // namespace vmemfs
