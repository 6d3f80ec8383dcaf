// SPDX-License-Identifier: MIT
#include "fs/config/mount_settings.h"

#include "vm/vm_options.h"

#include <algorithm>
#include <iterator>
#include <vector>

namespace vmemfs {
namespace {

std::vector<ParamSpec> make_specs() {
  std::vector<ParamSpec> specs{
      {.name = "mountpoint",
       .type = ParamType::path,
       .help = "the directory to mount on",
       .example = "/mnt/vms"},
      {.name = "discover",
       .type = ParamType::flag,
       .fallback = "on",
       .help = "the VMs of this host are discovered automatically",
       .example = "off"},
      {.name = "discover_with",
       .type = ParamType::text,
       .help = "the drivers that scan for VMs, as with --discover; by default all, on this host",
       .example = "qemu",
       .list_separator = kDiscoverySeparator},
      {.name = "options",
       .type = ParamType::text,
       .help = "FUSE mount options, separated by commas",
       .example = "allow_other",
       .list_separator = ','},
      {.name = "foreground",
       .type = ParamType::flag,
       .fallback = "off",
       .help = "stay in the foreground and log to standard error",
       .example = "on"},
      {.name = "debug",
       .type = ParamType::flag,
       .fallback = "off",
       .help = "log every decision and request; implies foreground",
       .example = "on"},
      {.name = "cache_size",
       .type = ParamType::size,
       .fallback = "64M",
       .help = "memory for caching pages of paused VMs, in total",
       .example = "256M"},
  };
  // The defaults of the VMs' own options.
  std::ranges::copy(vm_option_specs(), std::back_inserter(specs));
  return specs;
}

} // namespace

std::span<const ParamSpec> mount_specs() {
  static const std::vector<ParamSpec> kSpecs = make_specs();
  return kSpecs;
}

} // namespace vmemfs
