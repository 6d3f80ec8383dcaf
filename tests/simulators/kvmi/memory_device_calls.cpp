// SPDX-License-Identifier: MIT
// ioctl() and close() of the stand-in of /dev/kvmmem, as the protocol's description has them; see
// memory_device.h. Files that are not the stand-in go to libc.
#include "simulators/kvmi/memory_device.h"

#include <algorithm>
#include <cerrno>
#include <cstdarg>
#include <cstdio>
#include <cstring>
#include <dlfcn.h>
#include <fcntl.h>
#include <map>
#include <memory>
#include <mutex>
#include <sys/mman.h>
#include <unistd.h>

namespace kvmi_simulator {
namespace {

constexpr std::uint64_t kPage = 4096;

struct Request {
  Token token;
  std::uint64_t gpa;
  std::uint64_t second; ///< first ABI: the local page; second: the length
};
static_assert(sizeof(Request) == 48);

/// An open file of the stand-in.
struct File {
  Ledger* ledger = nullptr;
  bool is_started = false;
  std::map<std::uint64_t, std::uint64_t> mapped{}; ///< local page or first address: pages
};

struct Files {
  std::mutex mutex;
  std::map<int, File> open;
  std::map<std::string, Ledger*> ledgers;
};
Files& files() {
  static Files* const kFiles = new Files; // files are closed until the very end
  return *kFiles;
}
std::atomic<int> open_files{0};

int failed(int why) {
  errno = why;
  return -1;
}

/// The file of a descriptor, if it is the stand-in. Under the mutex.
File* find(int fd) {
  if (const auto known = files().open.find(fd); known != files().open.end()) {
    return &known->second;
  }
  char link[64];
  char path[4096];
  std::snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
  const ssize_t size = ::readlink(link, path, sizeof path - 1);
  const std::string text{path, size > 0 ? static_cast<std::size_t>(size) : 0};
  if (text.size() < sizeof kStandInName ||
      text.substr(text.size() - sizeof kStandInName + 1) != kStandInName) {
    return nullptr;
  }
  Ledger*& ledger = files().ledgers[text];
  if (ledger == nullptr) {
    ledger = map_ledger(text);
  }
  ++open_files;
  return &(files().open[fd] = File{.ledger = ledger});
}

/// One token is good for one mapping.
bool use(Ledger& ledger, const Token& token) {
  const auto given = std::min(ledger.tokens_given.load(), Ledger::kMaxTokens);
  for (std::uint32_t i = 0; i < given; ++i) {
    Ledger::Entry& entry = ledger.tokens[i];
    if (entry.is_valid != 0 && entry.token == token) {
      return entry.is_valid.exchange(0) == 1;
    }
  }
  return false;
}

void count_mapped(Ledger& ledger, std::uint64_t pages) {
  ++ledger.maps;
  const auto now = ledger.pages += static_cast<std::uint32_t>(pages);
  ledger.max_pages = std::max<std::uint32_t>(ledger.max_pages, now);
}

/// A page of our own, of private memory, that was touched.
bool is_touched(std::uint64_t address) {
  unsigned char there = 0;
  return address % kPage == 0 && ::mincore(reinterpret_cast<void*>(address), kPage, &there) == 0 &&
         (there & 1U) != 0;
}

bool fails(Ledger& ledger) { return ledger.map_errors_left > 0 && ledger.map_errors_left-- > 0; }

int map_first(int fd, File& file, const Request& request) {
  Ledger& ledger = *file.ledger;
  if (fails(ledger)) {
    return failed(ledger.map_error);
  }
  if (!use(ledger, request.token) || request.gpa % kPage != 0 || !is_touched(request.second)) {
    ++ledger.violations;
    return failed(EINVAL);
  }
  if (::mmap(reinterpret_cast<void*>(request.second), kPage, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED,
             fd, static_cast<off_t>(request.gpa)) == MAP_FAILED) {
    return -1;
  }
  file.mapped[request.second] = 1;
  count_mapped(ledger, 1);
  return 0;
}

int unmap_first(File& file, std::uint64_t address) {
  if (file.mapped.erase(address) == 0) {
    file.ledger->violations += address == 0 ? 0 : 1; // 0 asks which ABI it is
    return failed(EINVAL);
  }
  ++file.ledger->unmaps;
  --file.ledger->pages;
  ::mmap(reinterpret_cast<void*>(address), kPage, PROT_READ | PROT_WRITE,
         MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
  return 0;
}

int map_second(File& file, Request& request) {
  Ledger& ledger = *file.ledger;
  if (fails(ledger)) {
    return failed(ledger.map_error);
  }
  if (!file.is_started || !use(ledger, request.token) || request.gpa % kPage != 0) {
    ++ledger.violations;
    return failed(EINVAL);
  }
  const std::uint64_t pages = std::max<std::uint64_t>(ledger.region_pages, 1);
  const std::uint64_t begin = request.gpa / (pages * kPage) * pages * kPage;
  request.gpa = ledger.wrong_gpa != 0 ? ledger.wrong_gpa.load() : begin;
  request.second = ledger.wrong_length != 0 ? ledger.wrong_length.load() : pages * kPage;
  if (file.mapped.contains(request.gpa)) {
    return failed(EALREADY);
  }
  file.mapped[request.gpa] = pages;
  count_mapped(ledger, pages);
  return 0;
}

int unmap_second(File& file, std::uint64_t gpa) {
  const auto known = file.mapped.find(gpa);
  if (known == file.mapped.end()) {
    file.ledger->violations += gpa == 0 ? 0 : 1;
    return failed(EINVAL);
  }
  ++file.ledger->unmaps;
  file.ledger->pages -= static_cast<std::uint32_t>(known->second);
  file.mapped.erase(known);
  return 0;
}

int start(File& file, const void* uuid) {
  if (file.ledger->start_error != 0) {
    return failed(file.ledger->start_error);
  }
  if (file.is_started) {
    ++file.ledger->violations;
    return failed(EALREADY);
  }
  file.is_started = true;
  ++file.ledger->starts;
  std::memcpy(file.ledger->uuid.data(), uuid, file.ledger->uuid.size());
  return 0;
}

int answer(int fd, File& file, unsigned long request, std::uint64_t argument) {
  if (file.ledger->is_second_abi != 0) {
    switch (request) {
    case 0x40086901: return start(file, reinterpret_cast<const void*>(argument));
    case 0xc0306902: return map_second(file, *reinterpret_cast<Request*>(argument));
    case 0x40086903: return unmap_second(file, argument);
    default: return failed(ENOTTY);
    }
  }
  switch (request) {
  case 0x40306901: return map_first(fd, file, *reinterpret_cast<const Request*>(argument));
  case 0x40086902: return unmap_first(file, argument);
  default: return failed(ENOTTY);
  }
}

} // namespace
} // namespace kvmi_simulator

extern "C" int ioctl(int fd, unsigned long request, ...) {
  using namespace kvmi_simulator;
  std::va_list arguments;
  va_start(arguments, request);
  void* const argument = va_arg(arguments, void*);
  va_end(arguments);
  if (((request >> 8U) & 0xffU) == 'i') {
    const std::lock_guard lock{files().mutex};
    if (File* const file = find(fd); file != nullptr) {
      return answer(fd, *file, request, reinterpret_cast<std::uint64_t>(argument));
    }
  }
  using Ioctl = int (*)(int, unsigned long, ...);
  static const auto kNext = reinterpret_cast<Ioctl>(::dlsym(RTLD_NEXT, "ioctl"));
  return kNext(fd, request, argument);
}

/// Unmaps everything of the file.
extern "C" int close(int fd) {
  using namespace kvmi_simulator;
  if (open_files > 0) {
    const std::lock_guard lock{files().mutex};
    if (const auto known = files().open.find(fd); known != files().open.end()) {
      for (const auto& [at, pages] : known->second.mapped) {
        known->second.ledger->pages -= static_cast<std::uint32_t>(pages);
      }
      files().open.erase(known);
      --open_files;
    }
  }
  using Close = int (*)(int);
  static const auto kNext = reinterpret_cast<Close>(::dlsym(RTLD_NEXT, "close"));
  return kNext(fd);
}
