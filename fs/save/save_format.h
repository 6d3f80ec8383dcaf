// SPDX-License-Identifier: MIT
// Formats of `vmemfs save`: each is a file of the VM's directory, or made of one.
#pragma once

#include "core/error.h"
#include "fs/save/save_options.h"

#include <span>
#include <string_view>

namespace vmemfs {

struct SaveFormatInfo {
  SaveFormat format;
  std::string_view name; ///< on the command line
  std::string_view file; ///< of the VM's directory
  bool has_headers;      ///< begins with bytes without which the rest is of no use
  bool packed;           ///< is made of the memory in that file, which is packed
};

[[nodiscard]] std::span<const SaveFormatInfo> save_formats();

[[nodiscard]] const SaveFormatInfo& info_of(SaveFormat format);

/// invalid: there is no such format; the text says which there are.
[[nodiscard]] Result<SaveFormat> parse_save_format(std::string_view name);

} // namespace vmemfs
