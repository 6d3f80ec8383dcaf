// SPDX-License-Identifier: MIT
// A made kernel with modules: the order and the sizes of its structures are no real kernel's.
#pragma once

#include "core/error.h"
#include "linux/btf/types.h"
#include "linux/btf_builder.h"
#include "linux/made_memory.h"
#include "linux/running_kernel.h"

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace vmemfs {

class MadeModules {
public:
  static constexpr std::uint64_t kList = 0xffffffff82000000;
  static constexpr std::uint64_t kTypesList = 0xffffffff82000010;
  static constexpr std::uint64_t kModules = 0xffffffffc0000000;
  static constexpr std::uint64_t kStep = 0x10000;

  // In a module.
  static constexpr std::uint64_t kPrev = 8;
  static constexpr std::uint64_t kState = 16;
  static constexpr std::uint64_t kName = 24;
  static constexpr std::uint64_t kReferences = 80;
  static constexpr std::uint64_t kExportCount = 84;
  static constexpr std::uint64_t kCode = 88; ///< and its sizes
  static constexpr std::uint64_t kTables = 112;
  static constexpr std::uint64_t kExports = 120;

  MadeModules() { link(); }

  static std::uint64_t module(std::size_t index) { return kModules + kStep * index; }
  static std::uint64_t tables(std::size_t index) { return module(index) + 0x1000; }
  static std::uint64_t symbols(std::size_t index) { return module(index) + 0x2000; }
  static std::uint64_t letters(std::size_t index) { return module(index) + 0x3000; }
  static std::uint64_t names(std::size_t index) { return module(index) + 0x4000; }
  static std::uint64_t exports(std::size_t index) { return module(index) + 0x6000; }

  struct Symbol {
    std::uint64_t address;
    char letter;
    std::string_view name;
    bool exported = false;
  };

  /// Appends a live module with one reference. The kernel gives each an unnamed symbol first.
  void add(std::string_view name, const std::vector<Symbol>& symbols_of_it = {}) {
    const std::size_t index = modules_.size();
    const std::uint64_t address = module(index);
    memory.write_text(address, std::string(128, '\0'));
    memory.write_text(address + kName, name);
    memory.write(address + kReferences, std::uint32_t{2});
    memory.write(address + kCode, address + 0x8000);
    memory.write(address + kCode + 8, std::uint32_t{0x3000});
    memory.write(address + kCode + 12, std::uint32_t{0x1000});
    memory.write(address + kTables, tables(index));
    memory.write(address + kExports, exports(index));
    write_symbols(index, symbols_of_it);
    modules_.push_back(address);
    link();
  }
  void remove(std::size_t index) {
    memory.write(modules_[index] + kPrev, std::uint64_t{0xdead000000000122}); // as list_del_rcu() does
    modules_.erase(modules_.begin() + static_cast<std::ptrdiff_t>(index));
    link();
  }

  /// The types of a module, which the kernel puts before the others.
  void add_types(std::string_view name, const std::vector<std::byte>& bytes) {
    const std::uint64_t address = kModules + kStep * (0x100 + types_.size());
    memory.write(address + 16, address + 0x100);
    memory.write(address + 0x100, address + 0x1000);
    memory.write(address + 0x108, static_cast<std::uint32_t>(bytes.size()));
    memory.write_text(address + 0x10c, std::string(56, '\0'));
    memory.write_text(address + 0x10c, name);
    memory.write_bytes(address + 0x1000, bytes);
    types_.insert(types_.begin(), address);
    link();
  }
  /// Of the types of all modules, in the list's order.
  [[nodiscard]] const std::vector<std::uint64_t>& types_elements() const { return types_; }
  void remove_types(std::size_t index) {
    types_.erase(types_.begin() + static_cast<std::ptrdiff_t>(index));
    link();
  }

  /// read(RunningKernel) of it.
  template <typename Read> [[nodiscard]] auto with(Read&& read) {
    const KernelSymbols all{{{kList, 7, 'd'}, {kTypesList, 18, 'd'}}, "modulesbtf_modules"};
    const KernelSymbols none{{}, ""};
    const auto types = btf::Types::parse(structures);
    const Vmcoreinfo info{.text = {}, .swapper_pg_dir = 0};
    return read(RunningKernel{memory, has_modules ? all : none, **types, info});
  }
  /// The text that list(RunningKernel) gives, or "error: " with its reason.
  template <typename List> [[nodiscard]] std::string text(List&& list) {
    const Result<std::string> made = with(std::forward<List>(list));
    return made ? *made : "error: " + made.error().text;
  }

  MadeMemory memory;
  std::vector<std::byte> structures = made_structures();
  bool has_modules = true;

  static std::vector<std::byte> made_structures(bool has_letters = true) {
    BtfBuilder btf;
    add_structures(btf, has_letters);
    return btf.bytes();
  }
  static void add_structures(BtfBuilder& btf, bool has_letters = true) {
    const auto u32 = btf.integer("unsigned int", 4);
    const auto pointer = btf.pointer(0);
    const auto character = btf.integer("char", 1, BtfBuilder::kChar);
    const auto name = btf.array(character, 56, u32);
    const auto list = btf.structure("list_head", 16, {{"next", pointer, 0}, {"prev", pointer, 64}});
    const auto layout =
        btf.structure("module_layout", 16, {{"base", pointer, 0}, {"size", u32, 64}, {"init", u32, 96}});
    const auto init = btf.structure("init_layout", 4, {{"size", u32, 0}});
    btf.structure("module", 128,
                  {{"list", list, 0},
                   {"state", u32, 8 * kState},
                   {"name", name, 8 * kName},
                   {"refcnt", u32, 8 * kReferences},
                   {"num_syms", u32, 8 * kExportCount},
                   {"core_layout", layout, 8 * kCode},
                   {"init_layout", init, 8 * (kCode + 12)},
                   {"kallsyms", pointer, 8 * kTables},
                   {"syms", pointer, 8 * kExports}});
    std::vector<BtfBuilder::Member> members{
        {"symtab", pointer, 0}, {"num_symtab", u32, 64}, {"strtab", pointer, 128}};
    if (has_letters) {
      members.push_back({"typetab", pointer, 192});
    }
    btf.structure("mod_kallsyms", 32, members);
    btf.structure("kernel_symbol", 8, {{"value_offset", u32, 0}, {"name_offset", u32, 32}});
    btf.structure("btf_module", 32, {{"list", list, 0}, {"btf", pointer, 128}});
    btf.structure("btf", 72, {{"data", pointer, 0}, {"data_size", u32, 64}, {"name", name, 96}});
  }

private:
  void write_symbols(std::size_t index, const std::vector<Symbol>& symbols_of_it) {
    memory.write(tables(index), symbols(index));
    memory.write(tables(index) + 8, static_cast<std::uint32_t>(symbols_of_it.size() + 1));
    memory.write(tables(index) + 16, names(index));
    memory.write(tables(index) + 24, letters(index));
    memory.write_text(symbols(index), std::string(24, '\0'));
    memory.write_text(exports(index), std::string(24, '\0'));
    std::string text(1, '\0');
    std::string all_letters = "?";
    std::uint32_t exported = 0;
    for (std::size_t i = 0; i < symbols_of_it.size(); ++i) {
      const Symbol& symbol = symbols_of_it[i];
      const std::uint64_t at = symbols(index) + 24 * (i + 1);
      memory.write(at, static_cast<std::uint32_t>(text.size()));
      memory.write_text(at + 4, std::string_view{&symbol.letter, 1}); // where it was before 5.2
      memory.write(at + 8, symbol.address);
      if (symbol.exported) {
        const std::uint64_t element = exports(index) + std::uint64_t{8} * exported++;
        memory.write(element, static_cast<std::uint32_t>(symbol.address - element));
        memory.write(element + 4, static_cast<std::uint32_t>(names(index) + text.size() - (element + 4)));
      }
      text += symbol.name;
      text += '\0';
      all_letters += symbol.letter;
    }
    memory.write_text(names(index), text);
    memory.write_text(letters(index), all_letters);
    memory.write(module(index) + kExportCount, exported);
  }

  void link() {
    link_list(kList, modules_);
    link_list(kTypesList, types_);
  }
  void link_list(std::uint64_t head, const std::vector<std::uint64_t>& elements) {
    std::uint64_t before = head;
    for (const std::uint64_t address : elements) {
      memory.write(before, address);
      memory.write(address + kPrev, before);
      before = address;
    }
    memory.write(before, head);
    memory.write(head + kPrev, before);
  }

  std::vector<std::uint64_t> modules_;
  std::vector<std::uint64_t> types_;
};

} // namespace vmemfs
