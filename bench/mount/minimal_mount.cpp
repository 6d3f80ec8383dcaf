// SPDX-License-Identifier: MIT
#include "minimal_mount.h"

#include <chrono>
#include <csignal>
#include <filesystem>
#include <stdexcept>
#include <thread>

namespace vmemfs::bench {
namespace {

std::vector<std::string> command(const std::string& mountpoint, const std::vector<std::string>& memory) {
  std::filesystem::create_directory(mountpoint);
  std::vector<std::string> words{VMEMFS_MINIMAL_SERVER, mountpoint};
  words.insert(words.end(), memory.begin(), memory.end());
  return words;
}

} // namespace

MinimalMount::MinimalMount(const std::vector<std::string>& memory)
    : server_{command(dir_ / "mnt", memory), dir_ / "log"} {
  constexpr int kTries = 100;
  for (int i = 0; !std::filesystem::exists(file()); ++i) {
    if (i == kTries) {
      throw std::runtime_error{"the minimal server does not start: " + test::read_file(dir_ / "log")};
    }
    std::this_thread::sleep_for(std::chrono::milliseconds{20});
  }
}

MinimalMount::~MinimalMount() {
  server_.signal(SIGTERM);
  static_cast<void>(server_.wait(std::chrono::seconds{5}));
}

} // namespace vmemfs::bench
