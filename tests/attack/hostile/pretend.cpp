// SPDX-License-Identifier: MIT
// pretend ARGUMENTS...: only waits. Under the name and with the arguments of a QEMU it looks like a VM.
// Touches 64 KiB of memory first, so that it has some that it could pass off as a guest's.
#include <unistd.h>
#include <vector>

int main() {
  const std::vector<char> memory(std::size_t{64} << 10, 'x');
  for (;;) {
    ::pause();
  }
}
