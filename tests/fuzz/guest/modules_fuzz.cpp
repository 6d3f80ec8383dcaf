// SPDX-License-Identifier: MIT
// Modules of a made kernel, their symbols and types. Its memory is changed, also while it is read: see
// patched_memory.h.
#include "fuzz/fuzz_target.h"
#include "fuzz/guest/patched_memory.h"
#include "linux/made_modules.h"
#include "linux/modules/module_list.h"
#include "linux/modules/module_symbols.h"
#include "linux/modules/module_types.h"

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace {

using vmemfs::BtfBuilder;
using vmemfs::MadeModules;
using vmemfs::fuzz::expect;
using vmemfs::fuzz::is_text;
using vmemfs::fuzz::PatchedMemory;

std::vector<std::byte> module_types() {
  BtfBuilder kernel;
  MadeModules::add_structures(kernel);
  BtfBuilder module{kernel};
  module.structure("llc_sap", 16, {{"a", 1, 0}});
  return module.bytes();
}

void fill(MadeModules& kernel) {
  kernel.add("llc", {{0x10, 't', "inner"}, {0x20, 'T', "outer", true}, {0x20, 'T', "alias"}});
  kernel.add("stp", {{0x30, 'd', "data"}, {0x40, 'b', "shared", true}});
  kernel.add_types("llc", module_types());
  kernel.add_types("stp", module_types());
}

std::vector<std::uint64_t> pages_of(const MadeModules& kernel) {
  std::vector<std::uint64_t> pages{MadeModules::kList};
  for (std::size_t i = 0; i < 2; ++i) {
    pages.insert(pages.end(), {MadeModules::module(i), MadeModules::tables(i), MadeModules::symbols(i),
                               MadeModules::letters(i), MadeModules::names(i), MadeModules::exports(i)});
  }
  for (const std::uint64_t element : kernel.types_elements()) {
    pages.insert(pages.end(), {element, element + 0x1000});
  }
  return pages;
}

/// Each of them starts with the same kernel.
template <typename Check> void with_changes(std::string_view changes, Check&& check) {
  MadeModules kernel;
  fill(kernel);
  const auto pages = pages_of(kernel);
  const PatchedMemory patched{kernel.memory, pages, changes};
  check(kernel);
  constexpr std::size_t kMaxReads = std::size_t{4} << 20U;
  expect(patched.reads() <= kMaxReads, "what is read is bounded");
}

void check_list(MadeModules& kernel) {
  const std::string list = kernel.text(vmemfs::module_list);
  expect(is_text(list), "lines are whole and printable");
  expect(list.find("# complete: ") != std::string::npos || list.find("# incomplete: ") != std::string::npos,
         "it says whether it is complete");
}

void check_symbols(MadeModules& kernel) {
  const std::string symbols = kernel.text(vmemfs::module_symbols);
  expect(is_text(symbols), "lines are whole and printable");
  expect(symbols.size() <= vmemfs::kMaxModuleSymbols, "they are bounded");
}

void check_types(MadeModules& kernel) {
  const auto base = vmemfs::btf::Types::parse(kernel.structures);
  const auto modules = kernel.with(vmemfs::list_module_types);
  std::size_t bytes = 0;
  for (const vmemfs::ModuleTypes& module : modules.value_or(std::vector<vmemfs::ModuleTypes>{})) {
    bytes += module.size;
    expect(vmemfs::is_module_file_name(module.name), "it can be the name of a file");
    const auto types = kernel.with([&](const vmemfs::RunningKernel& running) {
      return vmemfs::read_module_types(running, module.name, *base);
    });
    expect(!types || !(*types)->bytes().empty(), "a module has types");
  }
  expect(bytes <= vmemfs::kMaxModuleTypes, "they are bounded");
}

} // namespace

FUZZ_TARGET(text) {
  with_changes(text, check_list);
  with_changes(text, check_symbols);
  with_changes(text, check_types);
}
