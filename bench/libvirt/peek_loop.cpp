// SPDX-License-Identifier: MIT
// peek_loop URI DOMAIN seq|random BLOCK COUNT: a program that reads a domain's memory through
// libvirt without vmemfs: virDomainMemoryPeek() of one block after the other. Prints MB/s of reading from
// 16 MiB on (seq), or the median milliseconds of a read at scattered places (random).
// peek_loop file PATH seq|random BLOCK COUNT: the same with pread().
#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fcntl.h>
#include <functional>
#include <libvirt/libvirt.h>
#include <libvirt/virterror.h>
#include <memory>
#include <span>
#include <string_view>
#include <unistd.h>
#include <vector>

namespace {

using Clock = std::chrono::steady_clock;
using Milliseconds = std::chrono::duration<double, std::milli>;
using ReadBlock = std::function<bool(unsigned long long at, std::span<char> block)>;

constexpr unsigned long long kFirst = 16ULL << 20U;

[[noreturn]] void give_up(const char* what, const char* why) {
  std::fprintf(stderr, "peek_loop: %s: %s\n", what, why);
  std::exit(1);
}

ReadBlock open_domain(const char* uri, const char* name) {
  virConnect* const connection = virConnectOpen(uri); // both end with the process
  virDomain* const domain = connection != nullptr ? virDomainLookupByName(connection, name) : nullptr;
  if (domain == nullptr) {
    give_up("no such domain", virGetLastErrorMessage());
  }
  return [domain](unsigned long long at, std::span<char> block) {
    return virDomainMemoryPeek(domain, at, block.size(), block.data(), VIR_MEMORY_PHYSICAL) == 0;
  };
}

ReadBlock open_file(const char* path) {
  const int file = ::open(path, O_RDONLY | O_CLOEXEC);
  if (file < 0) {
    give_up(path, std::strerror(errno));
  }
  return [file](unsigned long long at, std::span<char> block) {
    return ::pread(file, block.data(), block.size(), static_cast<off_t>(at)) ==
           static_cast<ssize_t>(block.size());
  };
}

} // namespace

int main(int argc, char** argv) {
  if (argc != 6) {
    std::fputs("usage: peek_loop URI DOMAIN|file PATH seq|random BLOCK COUNT\n", stderr);
    return 2;
  }
  const bool random = std::string_view{argv[3]} == "random";
  const std::size_t block = std::strtoull(argv[4], nullptr, 10);
  const std::size_t count = std::strtoull(argv[5], nullptr, 10);
  const ReadBlock read =
      std::string_view{argv[1]} == "file" ? open_file(argv[2]) : open_domain(argv[1], argv[2]);
  // Page-aligned, as in dd: the kernel splits an unaligned read of 1 MiB in two.
  const std::unique_ptr<char, decltype(&std::free)> memory{
      static_cast<char*>(std::aligned_alloc(4096, (block + 4095) / 4096 * 4096)), &std::free};
  const std::span buffer{memory.get(), block};
  std::vector<double> times;
  const auto begin = Clock::now();
  for (std::size_t i = 0; i < count; ++i) {
    const unsigned long long at = random ? (4096 + i * 7919 % 40000) * 4096 : kFirst + i * block;
    const auto since = Clock::now();
    if (!read(at, buffer)) {
      give_up("cannot read", argv[1]);
    }
    times.push_back(Milliseconds{Clock::now() - since}.count());
  }
  const double all = Milliseconds{Clock::now() - begin}.count();
  std::ranges::sort(times);
  std::printf("%.2f\n", random ? times.at(count / 2) : static_cast<double>(block * count) / all / 1000);
  return 0;
}
