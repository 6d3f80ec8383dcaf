// SPDX-License-Identifier: MIT
// LeechCore's C ABI as its public header describes it, for the stand-in: not the driver's declarations, so
// that a mistake in one of them shows.
#pragma once

#include <cstdint>

// NOLINTBEGIN(readability-identifier-naming): the names are LeechCore's
struct LC_CONFIG {
  std::uint32_t dwVersion;                        // @0
  std::uint32_t dwPrintfVerbosity;                // @4
  char szDevice[260];                             // @8
  char szRemote[260];                             // @268
  int (*pfn_printf_opt)(const char* format, ...); // @528
  std::uint64_t paMax;                            // @536
  std::uint32_t fVolatile;                        // @544
  std::uint32_t fWritable;                        // @548
  std::uint32_t fRemote;                          // @552
  std::uint32_t fRemoteDisableCompress;           // @556
  char szDeviceName[260];                         // @560
};
static_assert(sizeof(LC_CONFIG) == 824);

struct LC_CONFIG_ERRORINFO {
  std::uint32_t dwVersion;
  std::uint32_t cbStruct;
  std::uint32_t FutureUse[16];
  std::uint32_t fUserInputRequest;
  std::uint32_t cwszUserText;
  char16_t wszUserText[64];
};

struct MEM_SCATTER {
  std::uint32_t version;
  std::uint32_t f;
  std::uint64_t qwA;
  unsigned char* pb;
  std::uint32_t cb;
  std::uint32_t iStack;
  std::uint64_t vStack[12];
};
static_assert(sizeof(MEM_SCATTER) == 128);

inline constexpr std::uint32_t LC_CONFIG_VERSION = 0xc0fd0002;
inline constexpr std::uint32_t LC_CONFIG_ERRORINFO_VERSION = 0xc0fe0002;
inline constexpr std::uint32_t MEM_SCATTER_VERSION = 0xc0fe0002;

#define EXPORTED __attribute__((visibility("default")))

extern "C" {
EXPORTED void* LcCreate(LC_CONFIG* config);
EXPORTED void* LcCreateEx(LC_CONFIG* config, LC_CONFIG_ERRORINFO** info);
EXPORTED void LcClose(void* handle);
EXPORTED void LcMemFree(void* pointer);
EXPORTED std::uint32_t LcAllocScatter1(std::uint32_t count, MEM_SCATTER*** elements);
EXPORTED std::uint32_t LcAllocScatter2(std::uint32_t size, unsigned char* data, std::uint32_t count,
                                       MEM_SCATTER*** elements);
EXPORTED void LcReadScatter(void* handle, std::uint32_t count, MEM_SCATTER** elements);
EXPORTED void LcWriteScatter(void* handle, std::uint32_t count, MEM_SCATTER** elements);
EXPORTED std::uint32_t LcRead(void* handle, std::uint64_t address, std::uint32_t size, unsigned char* bytes);
EXPORTED std::uint32_t LcWrite(void* handle, std::uint64_t address, std::uint32_t size, unsigned char* bytes);
EXPORTED std::uint32_t LcGetOption(void* handle, std::uint64_t option, std::uint64_t* value);
EXPORTED std::uint32_t LcSetOption(void* handle, std::uint64_t option, std::uint64_t value);
EXPORTED std::uint32_t LcCommand(void* handle, std::uint64_t command, std::uint32_t size_in,
                                 const unsigned char* in, unsigned char** out, std::uint32_t* size_out);
}
// NOLINTEND(readability-identifier-naming)
