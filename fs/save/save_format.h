// SPDX-License-Identifier: MIT
// Formats of `vmemfs save`: each is a file of the VM's directory, or made of one.
#pragma once

#include "core/error.h"
#include "fs/save/save_options.h"

#include <cstdint>
#include <span>
#include <string_view>

namespace vmemfs {

struct SaveFormatInfo {
  SaveFormat format;
  std::string_view name; ///< on the command line
  std::string_view file; ///< of the VM's directory
  bool has_headers;      ///< begins with bytes without which the rest is of no use
  bool packed;           ///< is made of the memory in that file, which is packed
  /// The Nth part of all memory is what it takes at most beside data that does not pack: for descriptions of
  /// pages, and for zeros. 0: nothing.
  std::uint64_t extra_part = 0;
};

[[nodiscard]] std::span<const SaveFormatInfo> save_formats();

[[nodiscard]] const SaveFormatInfo& info_of(SaveFormat format);

/// invalid: there is no such format; the text says which there are.
[[nodiscard]] Result<SaveFormat> parse_save_format(std::string_view name);

} // namespace vmemfs
