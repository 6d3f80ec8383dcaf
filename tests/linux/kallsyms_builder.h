// SPDX-License-Identifier: MIT
// A kernel's image with kallsyms tables, in each of the layouts.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <fmt/format.h>
#include <string>
#include <vector>

namespace vmemfs::test {

/// Of the tables around the names.
enum class KallsymsLayout : std::uint8_t {
  v5_10, ///< offsets before the names, one byte of length
  v6_1,  ///< two bytes of length, and seqs_of_names
  v6_12, ///< offsets behind the tokens, absolute ones for per-CPU symbols
  v6_18, ///< no absolute ones
  v7_0,  ///< each offset from its own place
};

struct MadeSymbol {
  std::uint64_t address;
  char type;
  std::string name;
};

/// Begins at kImage; the tables begin at kTables. Symbols have to be in the order of the kernel's table.
class KallsymsBuilder {
public:
  static constexpr std::uint64_t kImage = 0xffff'ffff'a100'0000;
  static constexpr std::uint64_t kTables = kImage + 0x2'3000;

  explicit KallsymsBuilder(KallsymsLayout layout, std::vector<MadeSymbol> symbols)
      : layout_{layout}, symbols_{std::move(symbols)}, bytes_(kTables - kImage) {
    const bool early = layout_ <= KallsymsLayout::v6_1;
    if (early) {
      add_offsets();
      add(kImage, 8);
    }
    add(symbols_.size(), layout_ == KallsymsLayout::v7_0 ? 4 : 8);
    add_names();
    if (layout_ == KallsymsLayout::v6_1) {
      add_seqs();
    }
    add_tokens();
    if (!early) {
      add_offsets();
      if (layout_ != KallsymsLayout::v7_0) {
        add(kImage, 8);
      }
      add_seqs();
    }
    bytes_.resize(bytes_.size() + 4096);
  }

  [[nodiscard]] std::vector<std::byte>& bytes() { return bytes_; }
  [[nodiscard]] std::uint64_t end() const { return kImage + bytes_.size(); }
  /// Where the markers begin, in bytes().
  [[nodiscard]] std::size_t markers() const { return markers_; }
  [[nodiscard]] std::size_t index() const { return index_; }

private:
  void add(std::uint64_t value, std::size_t size) {
    for (std::size_t i = 0; i < size; ++i) {
      bytes_.push_back(static_cast<std::byte>(value >> (8 * i) & 0xffU));
    }
  }
  void align(std::size_t to) { bytes_.resize((bytes_.size() + to - 1) / to * to); }
  [[nodiscard]] std::size_t alignment() const { return layout_ == KallsymsLayout::v7_0 ? 4 : 8; }

  void add_offsets() {
    align(alignment());
    const bool absolute = layout_ <= KallsymsLayout::v6_12;
    for (const MadeSymbol& symbol : symbols_) {
      if (layout_ == KallsymsLayout::v7_0) {
        add(symbol.address - (kImage + bytes_.size()), 4);
      } else if (absolute) {
        add(symbol.address >> 63U == 0 ? symbol.address : kImage - 1 - symbol.address, 4);
      } else {
        add(symbol.address - kImage, 4);
      }
    }
    align(alignment());
  }

  /// Token 1 is "ab", all others stand for their character.
  static std::string tokens_of(const MadeSymbol& symbol) {
    std::string tokens(1, symbol.type);
    for (std::size_t i = 0; i < symbol.name.size(); ++i) {
      const bool pair = symbol.name.compare(i, 2, "ab") == 0;
      tokens.push_back(pair ? '\1' : symbol.name[i]);
      i += pair ? 1 : 0;
    }
    return tokens;
  }

  void add_names() {
    std::vector<std::size_t> markers;
    const std::size_t begin = bytes_.size();
    for (std::size_t i = 0; i < symbols_.size(); ++i) {
      if (i % 256 == 0) {
        markers.push_back(bytes_.size() - begin);
      }
      const std::string tokens = tokens_of(symbols_[i]);
      if (tokens.size() > 0x7f && layout_ != KallsymsLayout::v5_10) {
        add((tokens.size() & 0x7fU) | 0x80U, 1);
        add(tokens.size() >> 7U, 1);
      } else {
        add(tokens.size(), 1);
      }
      for (const char token : tokens) {
        add(static_cast<unsigned char>(token), 1);
      }
    }
    align(alignment());
    markers_ = bytes_.size();
    for (const std::size_t marker : markers) {
      add(marker, 4);
    }
    align(alignment());
  }

  void add_seqs() {
    for (std::size_t i = 0; i < symbols_.size(); ++i) {
      const std::size_t seq = i * 7919 % symbols_.size();
      bytes_.push_back(static_cast<std::byte>(seq >> 16U & 0xffU));
      bytes_.push_back(static_cast<std::byte>(seq >> 8U & 0xffU));
      bytes_.push_back(static_cast<std::byte>(seq & 0xffU));
    }
    align(8);
  }

  void add_tokens() {
    std::vector<std::size_t> positions;
    const std::size_t begin = bytes_.size();
    for (unsigned token = 0; token < 256; ++token) {
      positions.push_back(bytes_.size() - begin);
      const bool own = token > ' ' && token <= '~';
      const std::string text = token == 1 ? "ab"
                               : own      ? std::string(1, static_cast<char>(token))
                                          : fmt::format("tok{:x}", token);
      for (const char c : text) {
        add(static_cast<unsigned char>(c), 1);
      }
      add(0, 1);
    }
    align(alignment());
    index_ = bytes_.size();
    for (const std::size_t position : positions) {
      add(position, 2);
    }
  }

  const KallsymsLayout layout_;
  const std::vector<MadeSymbol> symbols_;
  std::vector<std::byte> bytes_;
  std::size_t markers_ = 0;
  std::size_t index_ = 0;
};

/// Many symbols: more than 8 markers of 256 names.
inline std::vector<MadeSymbol> many_symbols(bool per_cpu) {
  std::vector<MadeSymbol> symbols;
  if (per_cpu) {
    symbols.push_back({0, 'A', "fixed_percpu_data"});
    symbols.push_back({0x1f000, 'A', "cpu_number"});
  }
  symbols.push_back({KallsymsBuilder::kImage, 'T', "_text"});
  symbols.push_back({KallsymsBuilder::kImage, 'T', "_stext"});
  for (std::uint64_t i = 0; i < 3000; ++i) {
    symbols.push_back({KallsymsBuilder::kImage + 0x40 + i * 16, i % 3 == 0 ? 't' : 'T',
                       fmt::format("label_ab{}_{}", i, std::string(i % 40, 'x'))});
  }
  symbols.push_back({KallsymsBuilder::kImage + 0x1'0000, 't', "twice"});
  symbols.push_back({KallsymsBuilder::kImage + 0x1'0010, 't', "twice"});
  symbols.push_back({KallsymsBuilder::kImage + 0x1'0020, 'd', "mixed"});
  symbols.push_back({KallsymsBuilder::kImage + 0x1'0030, 'D', "mixed"});
  symbols.push_back({KallsymsBuilder::kImage + 0x1'0040, 'b', std::string(300, 'n')});
  return symbols;
}

} // namespace vmemfs::test
