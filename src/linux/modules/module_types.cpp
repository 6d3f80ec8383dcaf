// SPDX-License-Identifier: MIT
#include "linux/modules/module_types.h"

#include "linux/modules/module_layout.h"
#include "linux/structures/list_walk.h"
#include "linux/structures/member_offsets.h"
#include "util/work_limit.h"

#include <algorithm>
#include <fmt/format.h>
#include <optional>
#include <utility>

namespace vmemfs {
namespace {

constexpr unsigned kAttempts = 3;
/// Real guests have some hundreds.
constexpr std::size_t kMaxModulesWithTypes = 1024;

/// Of struct btf_module, an element of the list, and struct btf, the holder. Known of Linux 6.1.
struct Layout {
  ListElement element;
  std::uint64_t holder;

  std::uint64_t size;
  std::uint64_t data;
  std::uint64_t data_size;
  std::uint64_t name;
};

Result<Layout> layout_of(const btf::Types& types) {
  constexpr std::uint64_t kInt = 4;
  MemberOffsets offsets{types};
  const Layout layout{.element = {.size = offsets.size("btf_module"),
                                  .next = offsets.offset("btf_module", "list.next"),
                                  .prev = offsets.offset("btf_module", "list.prev")},
                      .holder = offsets.offset("btf_module", "btf"),
                      .size = offsets.size("btf"),
                      .data = offsets.offset("btf", "data"),
                      .data_size = offsets.offset("btf", "data_size", kInt),
                      .name = offsets.offset("btf", "name", ModuleLayout::kNameBytes)};
  return offsets.check().map([&] { return layout; });
}

/// nullopt: it cannot be read, or has a name that no module has.
std::optional<ModuleTypes> read_holder(KernelMemory& memory, const Layout& layout, std::uint64_t address) {
  const auto holder = StructureCopy::read(memory, address, layout.size);
  const auto name = holder ? holder->text(layout.name, ModuleLayout::kNameBytes) : std::nullopt;
  if (!name) {
    return std::nullopt;
  }
  return ModuleTypes{.name = std::string{*name},
                     .data = holder->pointer(layout.data),
                     .size = holder->number<std::uint32_t>(layout.data_size),
                     .holder = address};
}

bool has_name(const std::vector<ModuleTypes>& all, std::string_view name) {
  return std::ranges::find(all, name, &ModuleTypes::name) != all.end();
}

/// Returns whether it was the whole list.
bool read_list(KernelMemory& memory, const Layout& layout, std::uint64_t head,
               std::vector<ModuleTypes>& found) {
  std::size_t left = kMaxModuleTypes;
  const auto add = [&](std::uint64_t /*address*/, const StructureCopy& element) {
    auto types = read_holder(memory, layout, element.pointer(layout.holder));
    if (!types) {
      return false;
    }
    if (is_module_file_name(types->name) && types->size > 0 && types->size <= left &&
        !has_name(found, types->name)) {
      left -= types->size;
      found.push_back(std::move(*types));
    }
    return true;
  };
  return walk_list(memory, layout.element, head, kMaxModulesWithTypes, add);
}

tl::unexpected<Error> not_now(std::string_view name, std::string_view why) {
  return fail(ErrorKind::no_data, "linux", fmt::format("cannot read the types of module {}: {}", name, why));
}

} // namespace

bool is_module_file_name(std::string_view name) {
  return !name.empty() && name.size() < ModuleLayout::kNameBytes && name != "." && name != ".." &&
         name != "vmlinux" &&
         std::ranges::all_of(name, [](char c) { return c > ' ' && c <= '~' && c != '/'; });
}

Result<std::vector<ModuleTypes>> list_module_types(const RunningKernel& kernel) {
  const auto head = kernel.symbols.find("btf_modules");
  if (!head) {
    return std::vector<ModuleTypes>{};
  }
  const auto layout = layout_of(kernel.types);
  if (!layout) {
    return tl::unexpected{layout.error()};
  }
  std::vector<ModuleTypes> found;
  bool complete = false;
  for (unsigned attempt = 0; attempt < kAttempts && !complete; ++attempt) {
    found.clear();
    complete = read_list(kernel.memory, *layout, *head, found);
  }
  if (WorkLimit::over()) {
    return WorkLimit::exceeded("linux");
  }
  return found;
}

Result<std::shared_ptr<const btf::Types>> read_module_types(const RunningKernel& kernel,
                                                            std::string_view name,
                                                            std::shared_ptr<const btf::Types> base) {
  const auto find = [&]() -> Result<ModuleTypes> {
    return list_module_types(kernel).and_then(
        [&](const std::vector<ModuleTypes>& all) -> Result<ModuleTypes> {
          const auto found = std::ranges::find(all, name, &ModuleTypes::name);
          return found != all.end() ? Result<ModuleTypes>{*found} : not_now(name, "it is not loaded now");
        });
  };
  const auto before = find();
  if (!before) {
    return tl::unexpected{before.error()};
  }
  std::vector<std::byte> bytes(before->size);
  if (kernel.memory.read(before->data, bytes) != bytes.size()) {
    return not_now(name, "some of them are not in memory");
  }
  // Its memory may have become something else's.
  const auto after = find();
  if (!after || *after != *before) {
    return after ? not_now(name, "it was loaded again meanwhile") : tl::unexpected{after.error()};
  }
  auto types = btf::Types::parse(std::move(bytes), std::move(base));
  return types ? types : not_now(name, types.error().text);
}

} // namespace vmemfs
