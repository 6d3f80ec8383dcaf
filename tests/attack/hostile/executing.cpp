// SPDX-License-Identifier: MIT
// executing HOW PROGRAM GO -m 16M ...: under the name of a QEMU, a VM whose memory map can be guessed.
// Executes PROGRAM with the same arguments when the file GO exists. HOW: "alone", or "sibling" if a process
// that shares its memory stays behind, as one that was made by vfork() does.
#include <csignal>
#include <cstring>
#include <sched.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <unistd.h>

namespace {

constexpr std::size_t kRam = std::size_t{16} << 20;
constexpr std::size_t kPage = 4096;

/// A mapping of its own: others beside it would be joined with it.
char* map_ram() {
  void* const all = ::mmap(nullptr, kRam + 2 * kPage, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  char* const ram = static_cast<char*>(all) + kPage;
  if (all == MAP_FAILED || ::mprotect(ram, kRam, PROT_READ | PROT_WRITE) != 0) {
    ::_exit(2);
  }
  return ram;
}

int stay(void* /*unused*/) {
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  for (;;) {
    ::pause();
  }
}

void leave_sibling() {
  constexpr std::size_t kStack = std::size_t{64} << 10;
  void* const stack = ::mmap(nullptr, kStack, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (stack == MAP_FAILED ||
      ::clone(stay, static_cast<char*>(stack) + kStack, CLONE_VM | SIGCHLD, nullptr) < 0) {
    ::_exit(3);
  }
}

} // namespace

int main(int count, char** arguments) {
  if (count < 4) {
    return 1;
  }
  std::memset(map_ram(), 'x', kRam);
  while (::access(arguments[3], F_OK) != 0) {
    ::usleep(10'000);
  }
  if (std::strcmp(arguments[1], "sibling") == 0) {
    leave_sibling();
  }
  char never[] = "/proc/never";
  arguments[3] = never;
  ::execv(arguments[2], arguments);
  return 4;
}
