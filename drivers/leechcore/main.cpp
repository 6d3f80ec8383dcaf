// SPDX-License-Identifier: MIT
// The worker program of the driver `leechcore`: the only process that loads LeechCore.
#include "drivers/leechcore/worker/worker.h"

#include <cstdio>
#include <cstdlib>
#include <exception>

int main() try { return vmemfs::leechcore::run_worker(); } catch (const std::exception& exception) {
  std::fprintf(stderr, "%s\n", exception.what());
  return EXIT_FAILURE;
}
