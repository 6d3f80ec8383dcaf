// SPDX-License-Identifier: MIT
// The ISF of a kernel: of a BTF whose types are the input, and symbols that have parts of it as names.
#include "fuzz/fuzz_target.h"
#include "linux/btf/types.h"
#include "linux/btf_builder.h"
#include "linux/isf/isf.h"
#include "linux/symbols/kernel_symbols.h"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <nlohmann/json.hpp>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace {

/// Each line is a symbol.
vmemfs::KernelSymbols symbols_of(std::string_view text) {
  constexpr std::uint64_t kBegin = 0xffffffff81000000;
  constexpr std::string_view kTypes = "TtDdbA";
  std::vector<vmemfs::KernelSymbols::Entry> entries;
  std::string names;
  while (!text.empty()) {
    const std::string_view name = text.substr(0, text.find('\n'));
    text.remove_prefix(std::min(name.size() + 1, text.size()));
    names += name;
    const std::size_t index = entries.size();
    entries.push_back(
        {kBegin + 16 * index, static_cast<std::uint32_t>(names.size()), kTypes[index % kTypes.size()]});
  }
  return {std::move(entries), std::move(names)};
}

} // namespace

FUZZ_TARGET(text) {
  constexpr std::string_view kNames{"\0a\0list_head\0\xff\"\\\0tasks\0next\0", 28};
  const auto bytes = std::as_bytes(std::span{text.data(), text.size()});
  const auto types = vmemfs::btf::Types::parse(vmemfs::BtfBuilder::whole(bytes, kNames));
  const auto none = vmemfs::btf::Types::parse(vmemfs::BtfBuilder{}.bytes());
  const vmemfs::KernelSymbols symbols = symbols_of(text);
  const auto isf = vmemfs::isf_text(symbols, types ? **types : **none, {.banner = text, .kaslr_offset = 1});
  if (isf) {
    vmemfs::fuzz::expect(isf->size() <= vmemfs::kMaxIsfBytes, "no ISF is larger");
    vmemfs::fuzz::expect(
        std::ranges::all_of(*isf, [](char c) { return c == '\n' || (c >= ' ' && c <= '~'); }), "it is ASCII");
    vmemfs::fuzz::expect(nlohmann::json::accept(*isf), "it is JSON");
  }
}
