// SPDX-License-Identifier: MIT
#include "fs/save/save_format.h"

#include "core/text.h"

#include <algorithm>
#include <array>
#include <fmt/format.h>
#include <string>

namespace vmemfs {
namespace {

constexpr std::array kFormats{
    SaveFormatInfo{SaveFormat::raw, "raw", "mem_padded", false, false},
    SaveFormatInfo{SaveFormat::lime, "lime", "mem.lime", true, false},
    SaveFormatInfo{SaveFormat::elf, "elf", "core", true, false},
    SaveFormatInfo{SaveFormat::avml, "avml", "mem.lime", true, true, 16},
    SaveFormatInfo{SaveFormat::kdump, "kdump", "core", true, true, 128},
};

std::string format_names() {
  std::string names;
  for (const SaveFormatInfo& info : kFormats) {
    names += fmt::format("{}{}", names.empty() ? "" : ", ", info.name);
  }
  return names;
}

} // namespace

std::span<const SaveFormatInfo> save_formats() { return kFormats; }

const SaveFormatInfo& info_of(SaveFormat format) {
  return *std::ranges::find(kFormats, format, &SaveFormatInfo::format);
}

Result<SaveFormat> parse_save_format(std::string_view name) {
  if (const auto* const found = std::ranges::find(kFormats, name, &SaveFormatInfo::name);
      found != kFormats.end()) {
    return found->format;
  }
  return fail(ErrorKind::invalid, "save",
              fmt::format("there is no format '{}'; use one of {}", printable(name), format_names()));
}

} // namespace vmemfs
