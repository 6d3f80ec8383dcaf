// SPDX-License-Identifier: MIT
#include "linux/modules/module_layout.h"

#include "linux/structures/member_offsets.h"

namespace vmemfs {
namespace {

constexpr std::uint64_t kInt = 4;

/// Since 6.4: an array with the code as its first element.
void set_memory_array(ModuleLayout& layout, MemberOffsets& offsets, const btf::Types& types) {
  const auto array = types.field("module", "mem");
  const std::uint64_t element = offsets.size("module_memory");
  const std::uint64_t base = offsets.offset("module_memory", "base");
  const std::uint64_t size = offsets.offset("module_memory", "size", kInt);
  if (!array || element == 0 || array->size > layout.element.size ||
      array->offset > layout.element.size - array->size) {
    return;
  }
  layout.base = array->offset + base;
  for (std::uint64_t at = 0; at + element <= array->size; at += element) {
    layout.sizes.push_back(array->offset + at + size);
  }
}

} // namespace

Result<ModuleLayout> module_layout(const btf::Types& types) {
  MemberOffsets offsets{types};
  ModuleLayout layout{.element = {.size = offsets.size("module"),
                                  .next = offsets.offset("module", "list.next"),
                                  .prev = offsets.offset("module", "list.prev")},
                      .state = offsets.offset("module", "state", kInt),
                      .name = offsets.offset("module", "name", ModuleLayout::kNameBytes),
                      .references = offsets.find("module", "refcnt", kInt),
                      .base = 0,
                      .sizes = {}};
  if (types.field("module", "mem")) {
    set_memory_array(layout, offsets, types);
  } else { // up to 6.3
    layout.base = offsets.offset("module", "core_layout.base");
    layout.sizes = {offsets.offset("module", "core_layout.size", kInt),
                    offsets.offset("module", "init_layout.size", kInt)};
  }
  if (auto checked = offsets.check(); !checked) {
    return tl::unexpected{checked.error()};
  }
  if (layout.sizes.empty()) {
    return fail(ErrorKind::no_data, "linux", "the kernel's types do not have module.mem in a known form");
  }
  return layout;
}

} // namespace vmemfs
