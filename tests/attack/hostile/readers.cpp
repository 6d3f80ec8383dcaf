// SPDX-License-Identifier: MIT
// readers COUNT FILE: so many threads that each read a page of the file, all at once.
#include <cstddef>
#include <cstdlib>
#include <fcntl.h>
#include <thread>
#include <unistd.h>
#include <vector>

int main(int argc, char** argv) {
  if (argc != 3) {
    return 2;
  }
  constexpr std::size_t kPage = 4096;
  const int file = ::open(argv[2], O_RDONLY | O_CLOEXEC);
  std::vector<std::jthread> threads;
  for (int i = 0; i < std::atoi(argv[1]); ++i) {
    threads.emplace_back([file, i] {
      std::vector<char> page(kPage);
      static_cast<void>(!::pread(file, page.data(), page.size(), static_cast<off_t>(i) * 2 * kPage));
    });
  }
}
