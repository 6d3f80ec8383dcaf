// SPDX-License-Identifier: MIT
#include "linux/modules/symbol_tables.h"

#include "util/work_limit.h"

#include <algorithm>
#include <span>

namespace vmemfs {
namespace {

/// The largest modules have some ten thousand.
constexpr std::uint32_t kMaxSymbols = 1U << 18U;
constexpr std::uint32_t kMaxNames = 16U << 20U; ///< bytes
constexpr std::uint32_t kMaxExports = 1U << 16U;

// Elf64_Sym.
constexpr std::uint64_t kSymbolBytes = 24;
constexpr std::uint64_t kName = 0;
constexpr std::uint64_t kInfo = 4;
constexpr std::uint64_t kValue = 8;

/// An address in an element of the table of exports that lies at `element`.
std::uint64_t target(const StructureCopy& table, std::uint64_t offset, std::uint64_t address, bool relative) {
  if (!relative) {
    return table.pointer(offset);
  }
  const auto distance = static_cast<std::int64_t>(table.number<std::int32_t>(offset));
  return address + offset + static_cast<std::uint64_t>(distance);
}

} // namespace

bool LimitedMemory::spend(std::uint64_t size) {
  constexpr std::uint64_t kOfARead = 64; // many small ones take as long
  if (WorkLimit::over() || left_ < kOfARead || size > left_ - kOfARead) {
    left_ = 0;
    return false;
  }
  left_ -= size + kOfARead;
  return true;
}

std::optional<StructureCopy> LimitedMemory::copy(std::uint64_t address, std::uint64_t size) {
  return spend(size) ? StructureCopy::read(memory_, address, size) : std::nullopt;
}

std::vector<char> LimitedMemory::text(std::uint64_t address, std::uint64_t max_size) {
  if (!spend(max_size)) {
    return {};
  }
  std::vector<char> bytes(max_size);
  bytes.resize(memory_.read(address, std::as_writable_bytes(std::span{bytes})));
  return bytes;
}

std::optional<ModuleSymbolTables> ModuleSymbolTables::read(LimitedMemory& memory,
                                                           const ModuleSymbolLayout& layout,
                                                           const StructureCopy& module) {
  const auto tables = memory.copy(module.pointer(layout.kallsyms), layout.tables_size);
  if (!tables) {
    return std::nullopt;
  }
  const auto count = tables->number<std::uint32_t>(layout.symbol_count);
  if (count > kMaxSymbols) {
    return std::nullopt;
  }
  auto symbols = memory.copy(tables->pointer(layout.symbols), count * kSymbolBytes);
  auto letters = layout.letters ? memory.copy(tables->pointer(*layout.letters), count) : std::nullopt;
  auto exports = read_exports(memory, layout, module);
  if (!symbols || !exports || letters.has_value() != layout.letters.has_value()) {
    return std::nullopt;
  }
  ModuleSymbolTables read{count, std::move(*symbols), std::move(letters)};
  read.exports_ = std::move(*exports);
  if (!read.read_names(memory, tables->pointer(layout.names), layout.name_bytes)) {
    return std::nullopt;
  }
  return read;
}

/// The table of names does not say how long it is: to the end of the last name that a symbol has.
bool ModuleSymbolTables::read_names(LimitedMemory& memory, std::uint64_t address, std::uint64_t name_bytes) {
  std::uint32_t last = 0;
  for (std::size_t i = 0; i < size_; ++i) {
    last = std::max(last, symbols_.number<std::uint32_t>(i * kSymbolBytes + kName));
  }
  max_name_ = name_bytes - 1;
  if (last > kMaxNames) {
    return false;
  }
  names_ = memory.text(address, last + name_bytes);
  return size_ == 0 || last < names_.size();
}

std::optional<ModuleSymbolTables::Exports> ModuleSymbolTables::read_exports(LimitedMemory& memory,
                                                                            const ModuleSymbolLayout& layout,
                                                                            const StructureCopy& module) {
  const std::uint64_t address = module.pointer(layout.exports);
  const auto count = module.number<std::uint32_t>(layout.export_count);
  const auto table = count <= kMaxExports ? memory.copy(address, count * layout.export_size) : std::nullopt;
  if (!table) {
    return std::nullopt;
  }
  Exports exports;
  exports.reserve(count);
  for (std::uint64_t i = 0; i < count; ++i) {
    const std::uint64_t element = i * layout.export_size;
    exports.emplace(target(*table, element + layout.export_value, address, layout.relative),
                    target(*table, element + layout.export_name, address, layout.relative));
  }
  return exports;
}

std::optional<ModuleSymbolTables::Symbol> ModuleSymbolTables::symbol(std::size_t index) const {
  const std::uint64_t at = index * kSymbolBytes;
  const auto begin = symbols_.number<std::uint32_t>(at + kName);
  const std::string_view rest = std::string_view{names_.data(), names_.size()}.substr(begin);
  const std::size_t end = rest.substr(0, max_name_).find('\0');
  if (end == std::string_view::npos && rest.size() <= max_name_) {
    return std::nullopt;
  }
  return Symbol{.address = symbols_.pointer(at + kValue),
                .name = rest.substr(0, std::min(end, max_name_)),
                .letter = letters_ ? letters_->number<char>(index) : symbols_.number<char>(at + kInfo)};
}

bool ModuleSymbolTables::exports(LimitedMemory& memory, const Symbol& symbol) const {
  const auto [first, last] = exports_.equal_range(symbol.address);
  return std::any_of(first, last, [&](const auto& exported) {
    const auto name = memory.text(exported.second, symbol.name.size() + 1);
    return name.size() == symbol.name.size() + 1 && name.back() == '\0' &&
           std::string_view{name.data(), symbol.name.size()} == symbol.name;
  });
}

} // namespace vmemfs
