// SPDX-License-Identifier: MIT
// Helpers of the fuzzers.
//
// A target is a file NAME_fuzz.cpp with one FUZZ_TARGET(text) { ... }: it gives the bytes to a parser and
// checks what must hold of any result. It keeps no state from call to call. The same file is compiled twice:
// for libFuzzer, and for replay/replay_test.cpp, which runs the files of corpus/NAME.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <string_view>
#include <sys/mman.h>
#include <unistd.h>

/// The body of a target, with its input as std::string_view `text`. LLVMFuzzerTestOneInput is the name that
/// libFuzzer calls; for the replay it is a macro for a name of the target's own.
#define FUZZ_TARGET(text)                                                                                    \
  static void run_target(std::string_view text);                                                             \
  extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size);                         \
  extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {                        \
    run_target({reinterpret_cast<const char*>(data), size});                                                 \
    return 0;                                                                                                \
  }                                                                                                          \
  static void run_target(std::string_view text)

namespace vmemfs::fuzz {

/// Ends the program if a property of a parser does not hold.
inline void expect(bool holds, const char* property) {
  if (!holds) {
    static_cast<void>(std::fprintf(stderr, "property does not hold: %s\n", property));
    std::abort();
  }
}

/// A file in memory with a path, for parsers that open one.
class MemoryFile {
public:
  explicit MemoryFile(std::string_view content) : fd_{::memfd_create("fuzz", MFD_CLOEXEC)} {
    expect(fd_ >= 0 && ::write(fd_, content.data(), content.size()) == static_cast<ssize_t>(content.size()),
           "a file in memory can be written");
  }
  ~MemoryFile() { ::close(fd_); }
  MemoryFile(const MemoryFile&) = delete;
  MemoryFile& operator=(const MemoryFile&) = delete;

  [[nodiscard]] std::string path() const { return "/proc/self/fd/" + std::to_string(fd_); }

private:
  int fd_;
};

} // namespace vmemfs::fuzz
