// SPDX-License-Identifier: MIT
#include "linux/vmlinux/dwarf/entries.h"

#include <utility>

namespace vmemfs::dwarf {
namespace {

constexpr std::uint16_t kVersion = 4;
constexpr std::uint8_t kAddressBytes = 8;

} // namespace

Entries::Entries(const btf::Types& types) : strings_{types}, offsets_(types.end()) {
  out_.reserve(types.bytes().size());
  out_.number(std::uint32_t{0}); // size of what follows, see take()
  out_.number(kVersion);
  out_.number(std::uint32_t{0}); // the abbreviations, in .debug_abbrev
  out_.number(kAddressBytes);
}

void Entries::begin(Shape shape, std::string_view name, btf::TypeId type, bool children) {
  const EntryOptions options{.name = !name.empty(), .type = type != btf::kVoid, .children = children};
  out_.number(abbreviations_.code(shape, options));
  if (options.name) {
    out_.number(strings_.offset(name));
  }
  if (options.type) {
    references_.push_back({static_cast<std::uint32_t>(out_.size()), type});
    out_.number(std::uint32_t{0});
  }
}

btf::TypeId Entries::new_type() {
  offsets_.push_back(0);
  return static_cast<btf::TypeId>(offsets_.size() - 1);
}

Sections Entries::take() && {
  out_.replace(0, static_cast<std::uint32_t>(out_.size() - sizeof(std::uint32_t)));
  for (const Reference& reference : references_) {
    out_.replace(reference.position, offsets_[reference.type]);
  }
  return {std::move(abbreviations_).take(), std::move(out_).take(), std::move(strings_).take()};
}

} // namespace vmemfs::dwarf
