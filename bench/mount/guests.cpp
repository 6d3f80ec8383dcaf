// SPDX-License-Identifier: MIT
#include "guests.h"

#include <filesystem>
#include <fmt/format.h>
#include <regex>
#include <stdexcept>
#include <sys/prctl.h>
#include <unistd.h>

namespace vmemfs::bench {
namespace {

/// Its first MiB has other memory than RAM, too.
constexpr std::uint64_t kPlainRam = 16 << 20;

test::GuestOptions options(std::uint64_t megabytes) {
  test::GuestOptions options;
  options.memory = fmt::format("{}M", megabytes);
  return options;
}

test::GuestOptions shared_options(std::uint64_t megabytes) {
  auto shared = options(megabytes);
  shared.machine = "pc,memory-backend=m0";
  shared.extra = {"-object", fmt::format("memory-backend-file,id=m0,size={}M,mem-path={},share=on", megabytes,
                                         SharedGuest::path())};
  return shared;
}

} // namespace

SharedGuest::SharedGuest(std::uint64_t megabytes) : guest_{shared_options(megabytes)} { guest_.pause(); }

SharedGuest::~SharedGuest() { std::filesystem::remove(path()); }

std::string SharedGuest::path() { return fmt::format("/dev/shm/vmemfs-bench-{}", ::getpid()); }

std::unique_ptr<test::QemuGuest> private_guest(std::uint64_t megabytes, bool small_pages) {
  ::prctl(PR_SET_THP_DISABLE, small_pages ? 1 : 0, 0, 0, 0); // inherited by QEMU
  auto guest = std::make_unique<test::QemuGuest>(options(megabytes));
  ::prctl(PR_SET_THP_DISABLE, 0, 0, 0, 0);
  guest->pause();
  return guest;
}

std::uint64_t hva_of_ram(test::QemuGuest& guest) {
  const std::string text = guest.monitor().human(fmt::format("gpa2hva {:#x}", kPlainRam));
  std::smatch match;
  if (!std::regex_search(text, match, std::regex{"is (0x[0-9a-f]+)"})) {
    throw std::runtime_error{"gpa2hva: " + text};
  }
  return std::stoull(match[1], nullptr, 16) - kPlainRam;
}

} // namespace vmemfs::bench
