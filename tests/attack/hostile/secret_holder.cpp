// SPDX-License-Identifier: MIT
// secret_holder: not hostile itself. Installed as root's set-uid program, it has a secret in its memory that
// is not its caller's business.
#include <cstring>
#include <sys/mman.h>
#include <unistd.h>

int main() {
  constexpr std::size_t kRam = std::size_t{16} << 20; // as large as the VM that executes it
  constexpr std::size_t kPage = 4096;
  void* const all = ::mmap(nullptr, kRam + 2 * kPage, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  char* const memory = static_cast<char*>(all) + kPage;
  if (all == MAP_FAILED || ::mprotect(memory, kRam, PROT_READ | PROT_WRITE) != 0 || ::geteuid() != 0) {
    return 1;
  }
  constexpr char kSecret[] = "root's secret ";
  for (std::size_t at = 0; at + sizeof kSecret <= kRam; at += sizeof kSecret - 1) {
    std::memcpy(memory + at, kSecret, sizeof kSecret - 1);
  }
  for (;;) {
    ::pause();
  }
}
