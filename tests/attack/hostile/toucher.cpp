// SPDX-License-Identifier: MIT
// toucher FILE: maps the file and touches its first page.
#include <cstddef>
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

int main(int argc, char** argv) {
  constexpr std::size_t kPage = 4096;
  const int file = argc == 2 ? ::open(argv[1], O_RDONLY | O_CLOEXEC) : -1;
  void* const mapped = ::mmap(nullptr, kPage, PROT_READ, MAP_PRIVATE, file, 0);
  if (mapped == MAP_FAILED) {
    return 2;
  }
  return *static_cast<volatile char*>(mapped) == 'x' ? 1 : 0;
}
