// SPDX-License-Identifier: MIT
// The ISF of a running kernel: its types and symbols as Volatility 3 reads them.
//
// Format: the schema 6.2.0 of Volatility 3 (volatility3/schemas), which takes it without a change. Addresses
// are those that the kernel was linked for, so a build has the same text at every boot. Volatility finds the
// text by the kernel's banner: vol -s DIRECTORY -f IMAGE linux.pslist, with the text at
// DIRECTORY/linux/NAME.json.
#pragma once

#include "core/error.h"
#include "linux/btf/types.h"
#include "linux/symbols/kernel_symbols.h"

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace vmemfs {

/// Max size of the text. Those of kernels have 13 to 27 MB.
inline constexpr std::size_t kMaxIsfBytes = std::size_t{64} << 20U;

struct IsfSource {
  /// Bytes of the variable linux_banner, with the newline and the zero byte at its end.
  std::string_view banner;
  std::uint64_t kaslr_offset = 0;      ///< how far KASLR moved the kernel, in virtual memory
  std::string_view release{};          ///< such as 6.1.0-56-amd64
  std::string_view producer_version{}; ///< of vmemfs
};

/// Types of variables are those of BTF, which are per-CPU ones, and of variable_types(); all other symbols
/// have the type void. Of several symbols with one name the first global one is there, or else the first.
/// Names of the guest are escaped: the text is ASCII. Takes a fraction of a second of CPU time. invalid: the
/// text would be larger than kMaxIsfBytes, which that of no kernel is.
[[nodiscard]] Result<std::string> isf_text(const KernelSymbols& symbols, const btf::Types& types,
                                           const IsfSource& source);

} // namespace vmemfs
