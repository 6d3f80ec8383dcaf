// SPDX-License-Identifier: MIT
// The BTF of a kernel, and of a module that continues it. The first byte says how the others are used, as few
// random bytes are a BTF by themselves:
//   0  they are the whole BTF
//   1  they are the types; header and names are made around them
//   2  they are calls of BtfBuilder, 4 bytes each, so that most numbers of types exist
#include "fuzz/fuzz_target.h"
#include "linux/btf/types.h"
#include "linux/btf_builder.h"

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string_view>
#include <utility>
#include <vector>

namespace {

using vmemfs::BtfBuilder;
using vmemfs::btf::Kind;
using vmemfs::btf::TypeId;
using vmemfs::btf::Types;
using vmemfs::fuzz::expect;

constexpr std::array<std::string_view, 6> kNames{"", "a", "list_head", "task_struct", "tasks", "tasks.next"};

unsigned byte_at(std::string_view text, std::size_t index) { return static_cast<unsigned char>(text[index]); }

/// One type. `call`: kind, name, a number, and how far back its target is.
void add_type(BtfBuilder& btf, std::string_view call) {
  const auto kind = static_cast<Kind>(byte_at(call, 0) % 20);
  const std::string_view name = kNames[byte_at(call, 1) % kNames.size()];
  const unsigned number = byte_at(call, 2);
  // Some refer to later types, which makes circles.
  const TypeId target = btf.next() - std::min(btf.next(), byte_at(call, 3)) + (number & 1U);
  const std::vector<BtfBuilder::Member> members(number % 4,
                                                {.name = name,
                                                 .type = target,
                                                 .bit_offset = number * 4,
                                                 .bits = static_cast<std::uint8_t>(number / 128)});
  switch (kind) {
  case Kind::integer: btf.integer(name, 1U << number % 5, number % 8, number / 32); break;
  case Kind::array: btf.array(target, number << number % 25, target); break;
  case Kind::structure: btf.structure(name, number, members); break;
  case Kind::union_type: btf.union_type(name, number, members); break;
  case Kind::enumeration: btf.enumeration(name, 4, number % 2 != 0, {{name, number}}); break;
  case Kind::enumeration64: btf.enumeration64(name, number % 2 != 0, {{name, number}}); break;
  case Kind::forward: btf.forward(name, number % 2 != 0); break;
  case Kind::function_prototype: btf.prototype(target, {{name, target}, {"", 0}}); break;
  case Kind::variable: btf.variable(name, target); break;
  case Kind::data_section: btf.section(name, number, {{target, number, number}}); break;
  case Kind::floating: btf.floating(name, 8); break;
  case Kind::declaration_tag: btf.declaration_tag(name, target, number); break;
  case Kind::void_type:
  case Kind::pointer:
  case Kind::type_definition:
  case Kind::volatile_type:
  case Kind::const_type:
  case Kind::restrict_type:
  case Kind::function:
  case Kind::type_tag: btf.reference(kind, target, name); break;
  }
}

std::vector<std::byte> bytes_of(std::string_view text) {
  const auto bytes = std::as_bytes(std::span{text.data(), text.size()});
  return {bytes.begin(), bytes.end()};
}

void read_elements(const Types& types, TypeId id) {
  const auto type = types.type(id);
  for (std::size_t i = 0; i < type.count; ++i) {
    if (type.kind == Kind::structure || type.kind == Kind::union_type) {
      expect(types.member(id, i).type < types.end(), "the type of a member exists");
    } else if (type.kind == Kind::function_prototype) {
      expect(types.parameter(id, i).type < types.end(), "the type of a parameter exists");
    } else if (type.kind == Kind::data_section) {
      expect(types.section_variable(id, i).variable < types.end(), "a variable of a section exists");
    } else {
      expect(type.kind == Kind::enumeration || type.kind == Kind::enumeration64,
             "only some kinds have elements");
      static_cast<void>(types.enumerator(id, i));
    }
  }
}

/// All that can be asked of a few types, and of each what costs little.
void read_all(const Types& types) {
  constexpr TypeId kMaxAsked = 16;
  for (TypeId id = types.first(); id < types.end(); ++id) {
    const auto type = types.type(id);
    expect(type.target < types.end(), "a target exists");
    expect(types.resolve(id) < types.end(), "a resolved type exists");
    if (type.kind == Kind::integer) {
      expect(types.integer(id).bits <= 8 * type.size, "an integer has its bits");
    } else if (type.kind == Kind::array) {
      expect(std::max(types.array(id).element, types.array(id).index) < types.end(),
             "types of an array exist");
    }
    read_elements(types, id);
    static_cast<void>(types.size_of(id));
    if (!type.name.empty()) {
      const auto found = types.find(type.kind, type.name);
      expect(found && *found <= id && types.type(*found).name == type.name &&
                 types.type(*found).kind == type.kind,
             "the first type with a name is found");
    }
    if (id - types.first() < kMaxAsked) {
      for (const std::string_view path : {"a", "tasks", "tasks.next", "list_head.a.tasks"}) {
        const auto field = types.field(id, path);
        const auto size = types.size_of(id);
        expect(!field || (size && field->offset + field->size <= *size), "a field is inside");
      }
    }
  }
  expect(types.memory() >= types.bytes().size(), "memory is counted");
}

std::shared_ptr<const Types> parse(std::vector<std::byte> bytes, std::shared_ptr<const Types> base) {
  auto types = Types::parse(std::move(bytes), std::move(base));
  if (!types) {
    return nullptr;
  }
  read_all(**types);
  return *types;
}

/// Half of the calls make the kernel's BTF, the others a module's.
void run_calls(std::string_view calls) {
  constexpr std::size_t kCallBytes = 4;
  const std::size_t count = calls.size() / kCallBytes;
  BtfBuilder kernel;
  for (std::size_t i = 0; i < count / 2; ++i) {
    add_type(kernel, calls.substr(i * kCallBytes, kCallBytes));
  }
  BtfBuilder module{kernel};
  for (std::size_t i = count / 2; i < count; ++i) {
    add_type(module, calls.substr(i * kCallBytes, kCallBytes));
  }
  if (auto base = parse(kernel.bytes(), nullptr)) {
    parse(module.bytes(), std::move(base));
  }
}

} // namespace

FUZZ_TARGET(text) {
  if (text.empty()) {
    return;
  }
  const std::string_view rest = text.substr(1);
  const std::vector<std::byte> bytes = bytes_of(rest);
  switch (byte_at(text, 0) % 3) {
  case 0:
    if (auto base = parse(bytes, nullptr)) {
      parse(bytes, std::move(base));
    }
    break;
  case 1:
    parse(BtfBuilder::whole(bytes, std::string_view{"\0a\0list_head\0task_struct\0tasks\0next\0", 36}),
          nullptr);
    break;
  default: run_calls(rest); break;
  }
}
