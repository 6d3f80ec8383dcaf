// SPDX-License-Identifier: MIT
// LeechCore's C ABI: the structures, functions and numbers of leechcore.so that the driver uses.
//
// x86-64 Linux; unchanged in size and version since LeechCore 2.0. Declared here once more, so that building
// vmemfs takes nothing of LeechCore; the layout is asserted.
#pragma once

#include <cstddef>
#include <cstdint>

namespace vmemfs::leechcore::abi {

using Bool = std::uint32_t;
using Handle = void*;

inline constexpr std::uint32_t kConfigVersion = 0xc0fd0002;
inline constexpr std::uint32_t kErrorVersion = 0xc0fe0002;
inline constexpr std::uint32_t kScatterVersion = 0xc0fe0002;
inline constexpr std::size_t kMaxName = 260; ///< of device and remote, with the final NUL

/// LC_CONFIG. Zeroed before it is filled in.
struct Config {
  std::uint32_t version;
  std::uint32_t verbosity; ///< kPrintErrors, or 0 for silence
  char device[kMaxName];
  char remote[kMaxName]; ///< empty: a device of this host
  void* printf_callback;
  std::uint64_t max_address; ///< in: 0 has the library find it out; out: what is used
  Bool is_volatile;          ///< out, as what follows
  Bool is_writable;
  Bool is_remote;
  Bool no_compression; ///< in
  char device_name[kMaxName];
};
static_assert(sizeof(Config) == 824);
static_assert(offsetof(Config, device) == 8 && offsetof(Config, remote) == 268);
static_assert(offsetof(Config, printf_callback) == 528 && offsetof(Config, max_address) == 536);
static_assert(offsetof(Config, is_volatile) == 544 && offsetof(Config, device_name) == 560);

inline constexpr std::uint32_t kPrintErrors = 1;

/// LC_CONFIG_ERRORINFO; `text_size` UTF-16 units follow at kErrorText.
struct ErrorInfo {
  std::uint32_t version;
  std::uint32_t size; ///< of the whole, in bytes
  std::uint32_t reserved[16];
  Bool asks_user;
  std::uint32_t text_size;
};
inline constexpr std::size_t kErrorText = 80;
static_assert(sizeof(ErrorInfo) == kErrorText && offsetof(ErrorInfo, text_size) == 76);

/// MEM_SCATTER: one element of a scatter call, within one page.
struct Scatter {
  std::uint32_t version;
  Bool done; ///< 0 before the call, or the element is skipped; 1 after success
  std::uint64_t address;
  std::byte* bytes;
  std::uint32_t size;
  std::uint32_t stack_index;
  std::uint64_t stack[12]; ///< the library's own
};
static_assert(sizeof(Scatter) == 128);
static_assert(offsetof(Scatter, address) == 8 && offsetof(Scatter, bytes) == 16);
static_assert(offsetof(Scatter, size) == 24 && offsetof(Scatter, stack) == 32);

inline constexpr std::uint64_t kOptMaxAddress = 0x1000000800000000;
inline constexpr std::uint64_t kOptVersionMajor = 0x4000000500000000;
inline constexpr std::uint64_t kOptVersionMinor = 0x4000000600000000;
inline constexpr std::uint64_t kOptVersionRevision = 0x4000000700000000;
inline constexpr std::uint64_t kCmdMapGet = 0x4000020000000000;
inline constexpr std::uint64_t kCmdMapSet = 0x4000030000000000;

extern "C" {
using CreateFunction = Handle (*)(Config*, ErrorInfo**);
using CloseFunction = void (*)(Handle);
using FreeFunction = void (*)(void*);
/// LcAllocScatter2: elements without buffers, if there is no data.
using AllocFunction = Bool (*)(std::uint32_t size, std::byte* data, std::uint32_t count, Scatter*** elements);
using ScatterFunction = void (*)(Handle, std::uint32_t count, Scatter** elements);
using GetOptionFunction = Bool (*)(Handle, std::uint64_t option, std::uint64_t* value);
using CommandFunction = Bool (*)(Handle, std::uint64_t command, std::uint32_t size_in, const void* in,
                                 void** out, std::uint32_t* size_out);
}

} // namespace vmemfs::leechcore::abi
