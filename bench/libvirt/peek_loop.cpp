// peek_loop URI DOMAIN seq|random BLOCK COUNT: what somebody would write who reads a domain's memory through
// libvirt without vmemfs: virDomainMemoryPeek() of one block after the other. Prints MB/s of reading from
// 16 MiB on (seq), or the median milliseconds of a read at scattered places (random).
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <libvirt/libvirt.h>
#include <libvirt/virterror.h>
#include <string_view>
#include <vector>

namespace {

using Clock = std::chrono::steady_clock;
using Milliseconds = std::chrono::duration<double, std::milli>;

constexpr unsigned long long kFirst = 16ULL << 20U;

[[noreturn]] void give_up(const char* what) {
  std::fprintf(stderr, "peek_loop: %s: %s\n", what, virGetLastErrorMessage());
  std::exit(1);
}

} // namespace

int main(int argc, char** argv) {
  if (argc != 6) {
    std::fputs("usage: peek_loop URI DOMAIN seq|random BLOCK COUNT\n", stderr);
    return 2;
  }
  const bool random = std::string_view{argv[3]} == "random";
  const std::size_t block = std::strtoull(argv[4], nullptr, 10);
  const std::size_t count = std::strtoull(argv[5], nullptr, 10);
  virConnect* const connection = virConnectOpen(argv[1]);
  if (connection == nullptr) {
    give_up("no connection");
  }
  virDomain* const domain = virDomainLookupByName(connection, argv[2]);
  if (domain == nullptr) {
    give_up("no such domain");
  }
  std::vector<char> buffer(block);
  std::vector<double> times;
  const auto begin = Clock::now();
  for (std::size_t i = 0; i < count; ++i) {
    const unsigned long long at = random ? (4096 + i * 7919 % 40000) * 4096 : kFirst + i * block;
    const auto since = Clock::now();
    if (virDomainMemoryPeek(domain, at, block, buffer.data(), VIR_MEMORY_PHYSICAL) < 0) {
      give_up("can't read");
    }
    times.push_back(Milliseconds{Clock::now() - since}.count());
  }
  const double all = Milliseconds{Clock::now() - begin}.count();
  std::ranges::sort(times);
  std::printf("%.1f\n", random ? times.at(count / 2) : static_cast<double>(block * count) / all / 1000);
  virDomainFree(domain);
  virConnectClose(connection);
  return 0;
}
