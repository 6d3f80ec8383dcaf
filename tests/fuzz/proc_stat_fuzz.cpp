// SPDX-License-Identifier: MIT
// /proc/PID/stat, in which processes choose the name.
#include "fuzz/fuzz_target.h"
#include "host/process.h"

FUZZ_TARGET(text) {
  using vmemfs::fuzz::expect;
  const auto alone = vmemfs::parse_start_time(text);
  expect(alone || !alone.error().text.empty(), "an error has a text");

  // No name changes the start time that the kernel wrote.
  const std::string line = "4711 (" + std::string{text} +
                           ") S 1 4711 4711 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 1234567 9 10 "
                           "18446744073709551615 1 1 0 0 0 0 0 0 0 0 0 0 17 1 0 0 0 0 0\n";
  const auto named = vmemfs::parse_start_time(line);
  expect(named && *named == 1234567, "the name does not count");
}
