// SPDX-License-Identifier: MIT
#include "linux/modules/module_list.h"

#include "core/text.h"
#include "linux/modules/module_layout.h"
#include "linux/structures/list_walk.h"
#include "linux/structures/structure_copy.h"
#include "util/work_limit.h"

#include <array>
#include <cstddef>
#include <cstdint>
#include <fmt/format.h>
#include <string_view>

namespace vmemfs {
namespace {

constexpr unsigned kAttempts = 3;
/// The values of enum module_state, but kUnformed.
constexpr std::array<std::string_view, ModuleLayout::kUnformed> kStates{"Live", "Loading", "Unloading"};

struct Rows {
  std::string text;
  std::size_t count = 0;
  bool complete = false;
};

class ModuleRows {
public:
  ModuleRows(KernelMemory& memory, const ModuleLayout& layout, std::uint64_t head)
      : memory_{memory}, layout_{layout}, head_{head} {}

  [[nodiscard]] Rows read() const {
    Rows rows;
    rows.complete =
        walk_list(memory_, layout_.element, head_, kMaxModules,
                  [&](std::uint64_t /*address*/, const StructureCopy& module) { return add(rows, module); });
    return rows;
  }

private:
  /// Whether it can be a module.
  [[nodiscard]] bool add(Rows& rows, const StructureCopy& module) const {
    const auto name = module.text(layout_.name, ModuleLayout::kNameBytes);
    const auto state = module.number<std::uint32_t>(layout_.state);
    if (!name || name->empty() || state > ModuleLayout::kUnformed) {
      return false;
    }
    if (state == ModuleLayout::kUnformed) {
      return true;
    }
    std::uint64_t size = 0;
    for (const std::uint64_t offset : layout_.sizes) {
      size += module.number<std::uint32_t>(offset);
    }
    rows.text += fmt::format("{}\t{}\t{}\t{}\t{:#x}\n", printable(*name), size, references(module),
                             kStates.at(state), module.pointer(layout_.base));
    ++rows.count;
    return true;
  }

  [[nodiscard]] std::string references(const StructureCopy& module) const {
    // The kernel has one itself.
    return layout_.references
               ? std::to_string(module.number<std::int32_t>(*layout_.references) - std::int64_t{1})
               : "-";
  }

  KernelMemory& memory_;
  const ModuleLayout& layout_;
  const std::uint64_t head_;
};

} // namespace

Result<std::string> module_list(const RunningKernel& kernel) {
  const auto head = kernel.symbols.find("modules");
  if (!head) {
    return fail(ErrorKind::no_data, "linux", "the kernel's symbols do not have modules; it may have none");
  }
  const auto layout = module_layout(kernel.types);
  if (!layout) {
    return tl::unexpected{layout.error()};
  }
  const ModuleRows reader{kernel.memory, *layout, *head};
  Rows rows = reader.read();
  for (unsigned attempt = 1; attempt < kAttempts && !rows.complete; ++attempt) {
    rows = reader.read();
  }
  if (WorkLimit::over()) {
    return WorkLimit::exceeded("linux");
  }
  return "NAME\tSIZE\tREFERENCES\tSTATE\tADDRESS\n" + rows.text +
         (rows.complete ? fmt::format("# complete: {} modules\n", rows.count)
                        : fmt::format("# incomplete: {} modules; the list changed while it was read, or is "
                                      "damaged\n",
                                      rows.count));
}

} // namespace vmemfs
