// SPDX-License-Identifier: MIT
#include "linux/modules/module_symbols.h"

#include "core/text.h"
#include "linux/modules/symbol_layout.h"
#include "linux/modules/symbol_tables.h"
#include "linux/structures/list_walk.h"
#include "util/work_limit.h"

#include <algorithm>
#include <cstdint>
#include <fmt/format.h>
#include <iterator>
#include <string_view>

namespace vmemfs {
namespace {

constexpr unsigned kAttempts = 3;
/// What is read for one text. The tables of a large system have 15 MB.
constexpr std::size_t kMaxRead = std::size_t{64} << 20U;
constexpr std::size_t kMaxName = 4096;
constexpr std::size_t kMaxLine = 5 * kMaxName; ///< with each byte of a name as 4

/// Of nm(1), and as /proc/kallsyms has it of modules: only what they export is in upper case.
char letter_of(char letter, bool is_exported) {
  constexpr unsigned kLower = 0x20; // the bit of ASCII
  const auto lower = static_cast<char>(static_cast<unsigned char>(letter) | kLower);
  if (lower < 'a' || lower > 'z') {
    return '?';
  }
  return is_exported ? static_cast<char>(static_cast<unsigned char>(lower) & ~kLower) : lower;
}

/// Nearly all names are, and need no copy.
bool is_plain(std::string_view name) {
  return std::ranges::all_of(name, [](char c) { return c > ' ' && c <= '~' && c != '\\'; });
}

class SymbolLines {
public:
  SymbolLines(KernelMemory& memory, const ModuleSymbolLayout& layout, std::uint64_t head)
      : memory_{memory}, layout_{layout}, head_{head}, limited_{memory, kMaxRead} {}

  /// Once. Returns whether these are all.
  [[nodiscard]] bool read() {
    return walk_list(
        memory_, layout_.module.element, head_, kMaxModules,
        [this](std::uint64_t address, const StructureCopy& module) { return add(address, module); });
  }
  [[nodiscard]] std::size_t modules() const { return modules_; }
  [[nodiscard]] bool too_large() const { return too_large_; }
  [[nodiscard]] std::string& text() { return text_; }

private:
  /// Whether it is a module whose symbols could be read.
  bool add(std::uint64_t address, const StructureCopy& module) {
    const auto name = module.text(layout_.module.name, ModuleLayout::kNameBytes);
    const auto state = module.number<std::uint32_t>(layout_.module.state);
    if (!name || name->empty() || state > ModuleLayout::kUnformed) {
      return false;
    }
    if (state == ModuleLayout::kUnformed) {
      return true;
    }
    const std::size_t before = text_.size();
    const auto tables = ModuleSymbolTables::read(limited_, layout_, module);
    if (!tables || !add_lines(*tables, printable(*name)) || !is_still(address, module)) {
      text_.resize(before);
      return false;
    }
    ++modules_;
    return true;
  }

  bool add_lines(const ModuleSymbolTables& tables, std::string_view module) {
    std::string safe;
    for (std::size_t i = 0; i < tables.size(); ++i) {
      const auto symbol = tables.symbol(i);
      too_large_ = text_.size() > kMaxModuleSymbols - kMaxLine;
      if (!symbol || too_large_) {
        return false;
      }
      if (!symbol->name.empty()) { // as that of the first one
        fmt::format_to(std::back_inserter(text_), "{:016x} {} {}\t[{}]\n", symbol->address,
                       letter_of(symbol->letter, tables.exports(limited_, *symbol)),
                       is_plain(symbol->name) ? symbol->name
                                              : std::string_view{safe = printable(symbol->name, kMaxName)},
                       module);
      }
    }
    return !WorkLimit::over();
  }

  /// A module that leaves gives its tables back; one that is loaded has others, with more in them.
  [[nodiscard]] bool is_still(std::uint64_t address, const StructureCopy& module) const {
    const std::uint64_t prev = layout_.module.element.prev;
    return memory_.value<std::uint64_t>(address + prev) == module.pointer(prev) &&
           memory_.value<std::uint64_t>(address + layout_.kallsyms) == module.pointer(layout_.kallsyms);
  }

  KernelMemory& memory_;
  const ModuleSymbolLayout& layout_;
  const std::uint64_t head_;
  LimitedMemory limited_;
  std::string text_;
  std::size_t modules_ = 0;
  bool too_large_ = false;
};

} // namespace

std::string no_module_symbols(const Error& why) {
  return fmt::format("# incomplete: without the symbols of modules: {}\n", why.text);
}

Result<std::string> module_symbols(const RunningKernel& kernel) {
  const auto head = kernel.symbols.find("modules");
  if (!head) {
    return std::string{};
  }
  const auto layout = module_symbol_layout(kernel.types);
  if (!layout) {
    return no_module_symbols(layout.error());
  }
  for (unsigned attempt = 1;; ++attempt) {
    SymbolLines lines{kernel.memory, *layout, *head};
    const bool complete = lines.read();
    if (WorkLimit::over()) {
      return WorkLimit::exceeded("linux");
    }
    if (complete) {
      return std::move(lines.text());
    }
    if (attempt == kAttempts || lines.too_large()) {
      return std::move(lines.text()) +
             fmt::format("# incomplete: with the symbols of {} modules; {}\n", lines.modules(),
                         lines.too_large() ? "those of all are too large"
                                           : "the list changed while it was read, or is damaged");
    }
  }
}

} // namespace vmemfs
