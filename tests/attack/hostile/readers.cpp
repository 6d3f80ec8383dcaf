// SPDX-License-Identifier: MIT
// readers COUNT FILE [STEP]: so many threads that each read a page of the file, all at once, by default every
// other page.
#include <cstddef>
#include <cstdlib>
#include <fcntl.h>
#include <thread>
#include <unistd.h>
#include <vector>

int main(int argc, char** argv) {
  if (argc != 3 && argc != 4) {
    return 2;
  }
  constexpr std::size_t kPage = 4096;
  const off_t step = argc == 4 ? std::atol(argv[3]) : off_t{2 * kPage};
  const int file = ::open(argv[2], O_RDONLY | O_CLOEXEC);
  std::vector<std::jthread> threads;
  for (int i = 0; i < std::atoi(argv[1]); ++i) {
    threads.emplace_back([file, step, i] {
      std::vector<char> page(kPage);
      static_cast<void>(!::pread(file, page.data(), page.size(), static_cast<off_t>(i) * step));
    });
  }
}
