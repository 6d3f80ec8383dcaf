// SPDX-License-Identifier: MIT
// libvirt.conf, the file of a client of libvirt.
#include "drivers/libvirt/connection/default_uri.h"
#include "fuzz/fuzz_target.h"

FUZZ_TARGET(text) {
  using vmemfs::fuzz::expect;
  const std::string uri = vmemfs::libvirt::uri_default_in(text);
  expect(uri.find('\n') == uri.npos, "a URI is of one line");
  expect(text.find(uri) != text.npos, "a URI is from the text");
  expect(uri.empty() || text.find("uri_default") != text.npos, "a URI has a key");

  // What follows an assignment does not change it.
  if (!uri.empty()) {
    expect(vmemfs::libvirt::uri_default_in(std::string{text} + "\nuri_default = \"other:///\"\n") == uri,
           "the first assignment counts");
  }
  static_cast<void>(vmemfs::libvirt::runs_command(uri));
  static_cast<void>(vmemfs::libvirt::parse_uri(uri));
}
