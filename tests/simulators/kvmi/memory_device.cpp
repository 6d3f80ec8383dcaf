// SPDX-License-Identifier: MIT
#include "simulators/kvmi/memory_device.h"

#include <cstdlib>
#include <cstring>
#include <fcntl.h>
#include <fstream>
#include <random>
#include <sstream>
#include <sys/mman.h>
#include <unistd.h>

namespace kvmi_simulator {

Ledger* map_ledger(const std::string& path) {
  const int file = ::open((path + ".ledger").c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
  if (file < 0 || ::ftruncate(file, sizeof(Ledger)) != 0) {
    return nullptr;
  }
  void* const memory = ::mmap(nullptr, sizeof(Ledger), PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
  ::close(file);
  return memory == MAP_FAILED ? nullptr : static_cast<Ledger*>(memory);
}

MemoryDevice::MemoryDevice(const std::string& folder)
    : path_{folder + "/" + kStandInName}, memory_{::open(path_.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600)},
      ledger_{map_ledger(path_)} {
  if (memory_ < 0 || ledger_ == nullptr) {
    std::abort();
  }
}

MemoryDevice::~MemoryDevice() {
  ::munmap(ledger_, sizeof(Ledger));
  ::close(memory_);
}

Token MemoryDevice::new_token() {
  std::random_device random;
  Token token;
  for (std::uint8_t& byte : token) {
    byte = static_cast<std::uint8_t>(random());
  }
  const std::uint32_t index = ledger_->tokens_given++;
  if (index < Ledger::kMaxTokens) {
    ledger_->tokens[index].token = token;
    ledger_->tokens[index].is_valid = 1;
  }
  return token;
}

void MemoryDevice::store(std::uint64_t gpa, const std::uint8_t* bytes, std::size_t size) const {
  if (::pwrite(memory_, bytes, size, static_cast<off_t>(gpa)) != static_cast<ssize_t>(size)) {
    std::abort();
  }
}

void MemoryDevice::cut(std::uint64_t gpa) const {
  if (::ftruncate(memory_, static_cast<off_t>(gpa)) != 0) {
    std::abort();
  }
}

std::uint64_t MemoryDevice::mapped_pages_of(int pid) const {
  std::ifstream maps{"/proc/" + std::to_string(pid) + "/maps"};
  std::uint64_t pages = 0;
  for (std::string line; std::getline(maps, line);) {
    std::uint64_t begin = 0;
    std::uint64_t end = 0;
    char dash = 0;
    std::istringstream fields{line};
    fields >> std::hex >> begin >> dash >> end;
    if (line.size() > path_.size() && line.substr(line.size() - path_.size()) == path_) {
      pages += (end - begin) / 4096;
    }
  }
  return pages;
}

} // namespace kvmi_simulator
