// SPDX-License-Identifier: MIT
#include "linux/vmlinux/dwarf/abbreviations.h"

#include <utility>

namespace vmemfs::dwarf {
namespace {

// Forms.
constexpr std::uint8_t kAddress = 0x01;
constexpr std::uint8_t kData4 = 0x06;
constexpr std::uint8_t kData8 = 0x07;
constexpr std::uint8_t kData1 = 0x0b;
constexpr std::uint8_t kSignedData = 0x0d;
constexpr std::uint8_t kStringOffset = 0x0e;
constexpr std::uint8_t kUnsignedData = 0x0f;
constexpr std::uint8_t kReference4 = 0x13;
constexpr std::uint8_t kExpression = 0x18;
constexpr std::uint8_t kFlagPresent = 0x19;

// Attributes. Of two bytes in LEB128, none.
constexpr std::uint8_t kLocation = 0x02;
constexpr std::uint8_t kName = 0x03;
constexpr std::uint8_t kByteSize = 0x0b;
constexpr std::uint8_t kBitSize = 0x0d;
constexpr std::uint8_t kLowPc = 0x11;
constexpr std::uint8_t kHighPc = 0x12; // of a constant form: the size
constexpr std::uint8_t kLanguage = 0x13;
constexpr std::uint8_t kConstValue = 0x1c;
constexpr std::uint8_t kPrototyped = 0x27;
constexpr std::uint8_t kCount = 0x37;
constexpr std::uint8_t kMemberLocation = 0x38;
constexpr std::uint8_t kDeclaration = 0x3c;
constexpr std::uint8_t kEncoding = 0x3e;
constexpr std::uint8_t kExternal = 0x3f;
constexpr std::uint8_t kType = 0x49;
constexpr std::uint8_t kDataBitOffset = 0x6b;

struct Attribute {
  std::uint8_t name = 0;
  std::uint8_t form = 0;
};

struct Description {
  Shape shape;
  std::uint8_t tag;
  std::array<Attribute, 4> attributes; ///< up to one without a name
};

constexpr std::array<Description, kShapes> kDescriptions{{
    {Shape::unit, 0x11, {{{kLanguage, kData1}, {kLowPc, kAddress}, {kHighPc, kData8}}}},
    {Shape::base_type, 0x24, {{{kByteSize, kUnsignedData}, {kEncoding, kData1}}}},
    {Shape::pointer, 0x0f, {{{kByteSize, kData1}}}},
    {Shape::array, 0x01, {}},
    {Shape::subrange, 0x21, {{{kCount, kUnsignedData}}}},
    {Shape::structure, 0x13, {{{kByteSize, kUnsignedData}}}},
    {Shape::union_type, 0x17, {{{kByteSize, kUnsignedData}}}},
    {Shape::enumeration, 0x04, {{{kByteSize, kUnsignedData}}}},
    {Shape::member, 0x0d, {{{kMemberLocation, kUnsignedData}}}},
    {Shape::bit_field, 0x0d, {{{kBitSize, kData1}, {kDataBitOffset, kUnsignedData}}}},
    {Shape::signed_enumerator, 0x28, {{{kConstValue, kSignedData}}}},
    {Shape::unsigned_enumerator, 0x28, {{{kConstValue, kUnsignedData}}}},
    {Shape::declared_structure, 0x13, {{{kDeclaration, kFlagPresent}}}},
    {Shape::declared_union, 0x17, {{{kDeclaration, kFlagPresent}}}},
    {Shape::declared_enumeration, 0x04, {{{kDeclaration, kFlagPresent}}}},
    {Shape::type_definition, 0x16, {}},
    {Shape::const_type, 0x26, {}},
    {Shape::volatile_type, 0x35, {}},
    {Shape::restrict_type, 0x37, {}},
    {Shape::subroutine, 0x15, {{{kPrototyped, kFlagPresent}}}},
    {Shape::parameter, 0x05, {}},
    {Shape::more_parameters, 0x18, {}},
    {Shape::subprogram,
     0x2e,
     {{{kExternal, kFlagPresent}, {kPrototyped, kFlagPresent}, {kLowPc, kAddress}, {kHighPc, kData4}}}},
    {Shape::variable, 0x34, {{{kExternal, kFlagPresent}, {kLocation, kExpression}}}},
}};

constexpr bool is_in_order() {
  for (std::size_t i = 0; i < kShapes; ++i) {
    if (static_cast<std::size_t>(kDescriptions[i].shape) != i) {
      return false;
    }
  }
  return true;
}
static_assert(is_in_order());

} // namespace

std::uint8_t Abbreviations::code(Shape shape, const EntryOptions& options) {
  const std::size_t index = static_cast<std::size_t>(shape) * kOptions + (options.name ? 1U : 0U) +
                            (options.type ? 2U : 0U) + (options.children ? 4U : 0U);
  if (codes_[index] == 0) {
    codes_[index] = ++last_;
    declare(last_, shape, options);
  }
  return codes_[index];
}

void Abbreviations::declare(std::uint8_t code, Shape shape, const EntryOptions& options) {
  const Description& description = kDescriptions[static_cast<std::size_t>(shape)];
  const auto attribute = [this](std::uint8_t name, std::uint8_t form) {
    declarations_.number(name);
    declarations_.number(form);
  };
  declarations_.unsigned_leb128(code);
  declarations_.number(description.tag);
  declarations_.number(static_cast<std::uint8_t>(options.children ? 1 : 0));
  if (options.name) {
    attribute(kName, kStringOffset);
  }
  if (options.type) {
    attribute(kType, kReference4);
  }
  for (const Attribute& fixed : description.attributes) {
    if (fixed.name != 0) {
      attribute(fixed.name, fixed.form);
    }
  }
  attribute(0, 0);
}

std::vector<std::byte> Abbreviations::take() && {
  declarations_.number(std::uint8_t{0});
  return std::move(declarations_).take();
}

} // namespace vmemfs::dwarf
