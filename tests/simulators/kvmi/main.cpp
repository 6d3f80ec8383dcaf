// SPDX-License-Identifier: MIT
// kvmi_simulator SOCKET NAME [tree|v12 [VCPUS]]: one VM of the simulator, until it is killed.
#include "simulators/kvmi/simulator.h"

#include <cstdio>
#include <cstdlib>
#include <string>
#include <unistd.h>

int main(int argc, char** argv) {
  using namespace kvmi_simulator;
  if (argc < 3 || argc > 5) {
    static_cast<void>(std::fprintf(stderr, "usage: %s SOCKET NAME [tree|v12 [VCPUS]]\n", argv[0]));
    return 2;
  }
  GuestOptions guest;
  guest.name = argv[2];
  guest.number = 0xfe;
  guest.vcpus = argc > 4 ? static_cast<std::uint32_t>(std::strtoul(argv[4], nullptr, 10)) : 2;
  Options options;
  options.socket = argv[1];
  options.dialect = argc > 3 && std::string{argv[3]} == "v12" ? Dialect::v12 : Dialect::tree;
  const Simulator simulator{std::make_shared<Guest>(guest), options};
  for (;;) {
    ::pause();
  }
}
