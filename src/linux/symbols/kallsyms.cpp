// SPDX-License-Identifier: MIT
#include "linux/symbols/kallsyms.h"

#include "linux/symbols/address_table.h"
#include "linux/symbols/kallsyms_window.h"
#include "linux/symbols/name_table.h"
#include "linux/symbols/token_table.h"
#include "util/work_limit.h"

#include <algorithm>
#include <utility>
#include <vector>

namespace vmemfs {
namespace {

using namespace kallsyms;

/// The tables lie within this before and behind the token table.
constexpr std::uint64_t kBefore = std::uint64_t{16} << 20U;
constexpr std::uint64_t kBehind = std::uint64_t{4} << 20U;
/// The token table with its index.
constexpr std::uint64_t kNear = 16384;

std::uint64_t above(std::uint64_t address, std::uint64_t bytes, KernelImageRange image) {
  return address - image.begin > bytes ? address - bytes : image.begin;
}

std::uint64_t below(std::uint64_t address, std::uint64_t bytes, KernelImageRange image) {
  return image.end - address > bytes ? address + bytes : image.end;
}

std::shared_ptr<const KernelSymbols> make(NameTable table, const std::vector<std::uint64_t>& addresses) {
  std::vector<KernelSymbols::Entry> entries(addresses.size());
  for (std::size_t i = 0; i < entries.size(); ++i) {
    entries[i] = {addresses[i], table.names[i].end, table.names[i].type};
  }
  return std::make_shared<const KernelSymbols>(std::move(entries), std::move(table.text));
}

/// nullptr: there are no tables around the digits.
std::shared_ptr<const KernelSymbols> read_at(KernelMemory& memory, KernelImageRange image,
                                             std::uint64_t digits) {
  const Window near{memory, above(digits, kNear, image), below(digits, kNear, image)};
  if (!token_table_at(near, digits)) {
    return nullptr;
  }
  const Window window{memory, above(digits, kBefore, image), below(digits, kBehind, image)};
  const auto tokens = token_table_at(window, digits); // the guest may have changed it
  auto names = tokens ? find_names(window, *tokens) : std::nullopt;
  if (!names) {
    return nullptr;
  }
  const auto addresses =
      find_addresses(window, image, names->count_address, tokens->index_end, names->names.size());
  return addresses ? make(std::move(*names), *addresses) : nullptr;
}

} // namespace

Result<std::shared_ptr<const KernelSymbols>> read_kallsyms(KernelMemory& memory, KernelImageRange image) {
  /// Tables that were looked at in whole, which takes 20 MiB each.
  constexpr unsigned kMaxTables = 8;
  image.end = std::min(image.end, image.begin + kMaxKernelImage);
  std::shared_ptr<const KernelSymbols> symbols;
  unsigned tables = 0;
  for_each_digits(memory, image, [&](std::uint64_t digits) {
    symbols = read_at(memory, image, digits);
    return symbols != nullptr || ++tables == kMaxTables;
  });
  if (symbols == nullptr && WorkLimit::over()) {
    return WorkLimit::exceeded("linux");
  }
  if (symbols == nullptr) {
    return fail(ErrorKind::no_data, "linux",
                "the kernel's image has no kallsyms tables that fit together; was it built without "
                "CONFIG_KALLSYMS?");
  }
  return symbols;
}

} // namespace vmemfs
