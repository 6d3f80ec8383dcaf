// SPDX-License-Identifier: MIT
// Register layout of an architecture: names, widths, groups and order of its registers, as data.
//
// The layouts are in src/arch/, one for each architecture, with an enum of typed indexes. Everything
// else that is generic (values, text form) takes a layout and has no register names of its own.
#pragma once

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>
#include <type_traits>

namespace vmemfs {

struct RegisterLayout;

/// Max number of registers of a layout; a RegisterSet has room for as many.
inline constexpr std::size_t kMaxRegisters = 128;

/// An enum of typed indexes into a layout, which register_layout() finds by its type.
template <typename T>
concept ArchitectureRegister = std::is_enum_v<T> && requires(T reg) {
  { register_layout(reg) } -> std::same_as<const RegisterLayout&>;
};

/// Position of a register in its layout. The typed indexes of src/arch/ convert to it.
class RegisterIndex {
public:
  constexpr explicit RegisterIndex(std::size_t value) : value_{value} {}
  template <ArchitectureRegister R> constexpr RegisterIndex(R reg) : value_{static_cast<std::size_t>(reg)} {}

  [[nodiscard]] constexpr std::size_t value() const { return value_; }

  friend constexpr bool operator==(RegisterIndex, RegisterIndex) = default;

private:
  std::size_t value_;
};

struct RegisterDescription {
  std::string_view name;  ///< in the text form
  std::uint8_t bits;      ///< that the architecture defines, at most 64; values are not checked against it
  std::string_view group; ///< such as "general"; the registers of a group follow one another
};

struct RegisterLayout {
  std::string_view architecture;                  ///< as in uname -m
  std::span<const RegisterDescription> registers; ///< in the order of the text form, at most kMaxRegisters
  std::string_view example;                       ///< a register that messages may take as an example

  [[nodiscard]] constexpr std::size_t size() const { return registers.size(); }

  /// Empty if the layout has no such index.
  [[nodiscard]] constexpr std::string_view name(RegisterIndex reg) const {
    return reg.value() < size() ? registers[reg.value()].name : std::string_view{};
  }

  [[nodiscard]] constexpr std::optional<RegisterIndex> find(std::string_view name) const {
    for (std::size_t i = 0; i < size(); ++i) {
      if (registers[i].name == name) {
        return RegisterIndex{i};
      }
    }
    return std::nullopt;
  }
};

} // namespace vmemfs
