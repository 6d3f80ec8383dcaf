// SPDX-License-Identifier: MIT
#include "linux/vmlinux/dwarf/unit.h"

#include "linux/symbols/variable_types.h"
#include "linux/vmlinux/dwarf/type_writer.h"

#include <cstdint>
#include <optional>
#include <string_view>
#include <utility>

namespace vmemfs::dwarf {
namespace {

using btf::Kind;
using btf::TypeId;

constexpr std::uint8_t kPointerBytes = 8;

/// Limits what functions add: each repeats the parameters of its prototype, which many can share.
constexpr std::size_t kMaxInfoBytes = std::size_t{128} << 20U;

/// Max size of an array that ends where the next symbol begins. If that is further away, data without a name
/// lies between, such as texts. gdb reads no larger value unless it is asked to.
constexpr std::uint64_t kMaxArrayBytes = 65536;

class Unit {
public:
  Unit(const btf::Types& types, const LinkedSymbols& symbols, const AddressRange& image)
      : types_{types}, symbols_{symbols}, image_{image}, entries_{types} {}

  Sections write() && {
    entries_.begin(Shape::unit, "vmlinux", btf::kVoid, true);
    entries_.out().number(kLanguageC99);
    entries_.out().number(image_.begin);
    entries_.out().number(image_.size());
    for (TypeId id = types_.first(); id < types_.end(); ++id) {
      write(id);
    }
    for (const VariableType& variable : variable_types()) {
      write(variable);
    }
    entries_.end_children();
    return std::move(entries_).take();
  }

private:
  void write(TypeId id) {
    const btf::Type type = types_.type(id);
    if (type.kind == Kind::function) {
      write_function(type);
    } else if (type.kind == Kind::variable) {
      if (const auto address = symbols_.find(type.name)) {
        write_variable(type.name, reference_of(types_, type.target), *address);
      }
    } else {
      write_type(entries_, types_, id);
    }
  }

  void write_function(const btf::Type& function) {
    const auto address = symbols_.find(function.name);
    if (!address || !image_.contains(*address) || entries_.out().size() > kMaxInfoBytes ||
        types_.type(function.target).kind != Kind::function_prototype) {
      return;
    }
    entries_.begin(Shape::subprogram, function.name,
                   reference_of(types_, types_.type(function.target).target), true);
    entries_.out().number(*address);
    entries_.out().number(static_cast<std::uint32_t>(symbols_.extent(*address, image_.end).size()));
    write_parameters(entries_, types_, function.target);
  }

  void write_variable(std::string_view name, TypeId type, std::uint64_t address) {
    constexpr std::uint8_t kLocationBytes = 1 + sizeof address;
    entries_.begin(Shape::variable, name, type);
    entries_.out().number(kLocationBytes);
    entries_.out().number(kOperationAddress);
    entries_.out().number(address);
  }

  void write(const VariableType& variable) {
    const auto address = symbols_.find(variable.name);
    const auto type = named_type(types_, variable.type);
    if (!address || !type || types_.find(Kind::variable, variable.name)) {
      return;
    }
    const TypeId innermost = variable.type == "func" ? function_type() : reference_of(types_, *type);
    const TypeId whole = declared(variable.declarators, innermost, *address);
    if (whole != btf::kVoid) {
      write_variable(variable.name, whole, *address);
    }
  }

  /// A function of which nothing else is known.
  TypeId function_type() {
    if (function_type_ == btf::kVoid) {
      function_type_ = entries_.new_type();
      entries_.define(function_type_);
      entries_.begin(Shape::subroutine, {}, btf::kVoid);
    }
    return function_type_;
  }

  /// The type with the declarators around it. An array ends where the next symbol begins.
  TypeId declared(std::string_view declarators, TypeId type, std::uint64_t address) {
    std::uint64_t element_bytes = type < types_.end() ? types_.size_of(type).value_or(0) : 0;
    for (; !declarators.empty(); declarators.remove_suffix(1)) {
      const TypeId outer = entries_.new_type();
      entries_.define(outer);
      if (declarators.back() == '*') {
        entries_.begin(Shape::pointer, {}, type);
        entries_.out().number(kPointerBytes);
        element_bytes = kPointerBytes;
      } else {
        const std::uint64_t bytes = symbols_.extent(address, address + kMaxArrayBytes).size();
        entries_.begin(Shape::array, {}, type, true);
        entries_.begin(Shape::subrange, {}, btf::kVoid);
        entries_.out().unsigned_leb128(element_bytes != 0 ? bytes / element_bytes : 0);
        entries_.end_children();
        element_bytes = bytes;
      }
      type = outer;
    }
    return type;
  }

  const btf::Types& types_;
  const LinkedSymbols& symbols_;
  const AddressRange image_;
  Entries entries_;
  TypeId function_type_ = btf::kVoid;
};

} // namespace

Sections make_unit(const btf::Types& types, const LinkedSymbols& symbols, const AddressRange& image) {
  return Unit{types, symbols, image}.write();
}

} // namespace vmemfs::dwarf
