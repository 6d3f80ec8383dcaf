// SPDX-License-Identifier: MIT
#include "linux/symbols/name_table.h"

#include <algorithm>
#include <array>
#include <span>

namespace vmemfs::kallsyms {
namespace {

constexpr std::uint64_t kWord = sizeof(std::uint32_t);
constexpr std::uint32_t kNamesPerMarker = 256;
/// Bytes of a name: its length and at least one token; at most what symbols have (KSYM_NAME_LEN is 512).
constexpr std::uint32_t kMinNameBytes = 2;
constexpr std::uint32_t kMaxNameBytes = 140;
constexpr std::size_t kMaxNameChars = 1024;
/// All names together.
constexpr std::size_t kMaxText = std::size_t{32} << 20U;
/// Places of markers that are tried.
constexpr unsigned kMaxTries = 16;
/// Names that are read in all tries together.
constexpr std::uint64_t kMaxNamesRead = 50'000'000;

enum class LengthForm : std::uint8_t { one_byte, two_bytes };

/// Markers that begin at an address, as far as they rise as markers do.
std::vector<std::uint32_t> markers_at(const Window& window, std::uint64_t address) {
  std::vector<std::uint32_t> markers;
  if (window.number<std::uint32_t>(address) != 0) {
    return markers;
  }
  markers.push_back(0);
  while (markers.size() <= kMaxSymbols / kNamesPerMarker) {
    const auto next = window.number<std::uint32_t>(address + markers.size() * kWord);
    if (!next || *next < markers.back() + kNamesPerMarker * kMinNameBytes ||
        *next > markers.back() + kNamesPerMarker * kMaxNameBytes) {
      break;
    }
    markers.push_back(*next);
  }
  return markers;
}

/// Reads names from one address on.
class NameReader {
public:
  NameReader(const Window& window, const TokenTable& tokens, LengthForm form, std::uint64_t begin)
      : tokens_{tokens}, form_{form}, all_{window.from(begin)}, rest_{all_} {}

  [[nodiscard]] std::size_t position() const { return all_.size() - rest_.size(); }

  /// The tokens of the next name; empty: there is none.
  [[nodiscard]] std::span<const std::byte> next() {
    constexpr unsigned kLong = 0x80;
    constexpr unsigned kShift = 7;
    if (rest_.empty()) {
      return {};
    }
    auto length = std::to_integer<std::size_t>(rest_.front());
    rest_ = rest_.subspan(1);
    if (form_ == LengthForm::two_bytes && (length & kLong) != 0) {
      if (rest_.empty()) {
        return {};
      }
      length = (length & ~std::size_t{kLong}) | std::to_integer<std::size_t>(rest_.front()) << kShift;
      rest_ = rest_.subspan(1);
    }
    if (length > rest_.size()) {
      return {};
    }
    const auto name = rest_.first(length);
    rest_ = rest_.subspan(length);
    return name;
  }

  /// Appends the name to the table; false: it is not one.
  [[nodiscard]] bool add(std::span<const std::byte> name, NameTable& table) const {
    const std::size_t begin = table.text.size();
    for (const std::byte token : name) {
      table.text += tokens_.tokens[std::to_integer<std::size_t>(token)];
      if (table.text.size() - begin > kMaxNameChars) {
        return false;
      }
    }
    if (table.text.size() < begin + 2 || table.text.size() > kMaxText) {
      return false;
    }
    const char type = table.text[begin];
    table.text.erase(begin, 1);
    table.names.push_back({type, static_cast<std::uint32_t>(table.text.size())});
    return (type >= 'a' && type <= 'z') || (type >= 'A' && type <= 'Z');
  }

private:
  const TokenTable& tokens_;
  const LengthForm form_;
  const std::span<const std::byte> all_;
  std::span<const std::byte> rest_;
};

/// Whether so many names agree with all markers, and end where the markers begin, `room` bytes on. Takes what
/// it reads from `names_left`.
bool agree(NameReader reader, std::uint64_t room, std::span<const std::uint32_t> markers, std::uint32_t count,
           std::uint64_t& names_left) {
  for (std::uint32_t i = 0; i < count; ++i, --names_left) {
    if (names_left == 0) {
      return false;
    }
    if (i % kNamesPerMarker == 0 && reader.position() != markers[i / kNamesPerMarker]) {
      return false;
    }
    if (reader.next().empty()) {
      return false;
    }
  }
  constexpr std::uint64_t kMaxPadding = 8;
  return reader.position() <= room && room - reader.position() < kMaxPadding;
}

std::optional<NameTable> decode(NameReader reader, std::uint32_t count, std::uint64_t count_address) {
  NameTable table{.count_address = count_address, .names = {}, .text = {}};
  constexpr std::size_t kUsualName = 24;
  table.names.reserve(count);
  table.text.reserve(count * kUsualName);
  for (std::uint32_t i = 0; i < count; ++i) {
    if (!reader.add(reader.next(), table)) {
      return std::nullopt;
    }
  }
  return table;
}

/// The number of symbols, if it is one that needs that many markers or a few less, as what follows the
/// markers may look like some more.
std::optional<std::uint32_t> count_at(const Window& window, std::uint64_t address, std::size_t markers) {
  const auto count = window.number<std::uint32_t>(address);
  constexpr std::size_t kMaxMore = 2;
  if (!count || *count == 0 || *count > kMaxSymbols) {
    return std::nullopt;
  }
  const std::size_t needed = (*count + kNamesPerMarker - 1) / kNamesPerMarker;
  return needed <= markers && needed + kMaxMore >= markers ? count : std::nullopt;
}

/// The names that end where these markers begin.
std::optional<NameTable> names_before(const Window& window, const TokenTable& tokens, std::uint64_t address,
                                      std::span<const std::uint32_t> markers, std::uint64_t& names_left) {
  // Up to 6.18 the number of symbols has 8 bytes of room, since 7.0 it has 4.
  constexpr std::array<std::uint64_t, 2> kRoomOfCount{8, 4};
  // What looks like a marker too many may be one.
  constexpr std::size_t kMaxMore = 2;
  const std::uint32_t last = markers[markers.size() - std::min(markers.size(), kMaxMore + 1)];
  if (address - window.begin() < last) {
    return std::nullopt;
  }
  const std::uint64_t lowest =
      address - std::min<std::uint64_t>(address - window.begin(),
                                        markers.back() + std::uint64_t{kNamesPerMarker} * kMaxNameBytes);
  for (std::uint64_t begin = (address - last) & ~(kWord - 1); begin >= lowest + kWord; begin -= kWord) {
    for (const std::uint64_t room : kRoomOfCount) {
      const auto count = count_at(window, begin - room, markers.size());
      if (!count) {
        continue;
      }
      for (const LengthForm form : {LengthForm::two_bytes, LengthForm::one_byte}) {
        const NameReader reader{window, tokens, form, begin};
        if (agree(reader, address - begin, markers, *count, names_left)) {
          return decode(reader, *count, begin - room);
        }
      }
    }
  }
  return std::nullopt;
}

} // namespace

std::optional<NameTable> find_names(const Window& window, const TokenTable& tokens) {
  // As far as seqs_of_names, of 3 bytes a symbol, can move the markers away.
  constexpr std::uint64_t kMaxBetween = 3 * std::uint64_t{kMaxSymbols};
  const std::uint64_t lowest = std::max(window.begin(), tokens.begin - std::min(tokens.begin, kMaxBetween));
  std::uint64_t lowest_tried = tokens.begin;
  std::uint64_t names_left = kMaxNamesRead;
  unsigned tries = 0;
  for (std::uint64_t address = tokens.begin; address >= lowest + kWord && tries < kMaxTries;) {
    address -= kWord;
    // Only the last of the markers that were tried, and those before: a zero within others is none.
    const auto markers = markers_at(window, address);
    const std::uint64_t end = address + markers.size() * kWord;
    constexpr std::size_t kMinMarkers = 8;
    if (markers.size() < kMinMarkers || end > lowest_tried) {
      continue;
    }
    ++tries;
    lowest_tried = address;
    if (auto found = names_before(window, tokens, address, markers, names_left)) {
      return found;
    }
  }
  return std::nullopt;
}

} // namespace vmemfs::kallsyms
