// SPDX-License-Identifier: MIT
// The URI of a libvirt connection.
#include "drivers/libvirt/connection/connection_uri.h"
#include "fuzz/fuzz_target.h"

FUZZ_TARGET(text) {
  if (const auto uri = vmemfs::libvirt::parse_uri(text)) {
    vmemfs::fuzz::expect(!uri->driver.empty(), "a URI has a driver");
    vmemfs::fuzz::expect(uri->host.empty() || text.find("://") != text.npos, "a host comes after ://");
  }
  const std::string quiet = vmemfs::libvirt::without_prompts(std::string{text});
  vmemfs::fuzz::expect(vmemfs::libvirt::without_prompts(quiet) == quiet, "prompts are turned off once");
  static_cast<void>(vmemfs::libvirt::name_of_uri(text));
}
