// SPDX-License-Identifier: MIT
// Values of a vCPU's registers, and the text form that every driver shares.
//
// Text form, as in `vcpus/N/regs`: one `name 0xvalue` a line, always 16 hex digits; names and order are
// those of the layout. A register that the source does not have is absent, never 0.
#pragma once

#include "core/error.h"
#include "core/register_layout.h"

#include <array>
#include <bitset>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

namespace vmemfs {

/// Copied as a block of about 1 KiB, without allocation. Not thread-safe. An index that the layout does
/// not have, or a typed index of another architecture, is an absent register; setting it has no effect.
class RegisterSet {
public:
  /// All registers are absent. `layout` must live as long as the set; those of src/arch/ live forever.
  explicit RegisterSet(const RegisterLayout& layout) : layout_{&layout} {}

  [[nodiscard]] const RegisterLayout& layout() const { return *layout_; }

  void set(RegisterIndex reg, std::uint64_t value) {
    if (has_place(reg)) {
      present_.set(reg.value());
      values_[reg.value()] = value;
    }
  }
  template <ArchitectureRegister R> void set(R reg, std::uint64_t value) {
    if (&register_layout(reg) == layout_) {
      set(RegisterIndex{reg}, value);
    }
  }

  [[nodiscard]] std::optional<std::uint64_t> get(RegisterIndex reg) const {
    return has_place(reg) && present_.test(reg.value()) ? std::optional{values_[reg.value()]} : std::nullopt;
  }
  template <ArchitectureRegister R> [[nodiscard]] std::optional<std::uint64_t> get(R reg) const {
    return &register_layout(reg) == layout_ ? get(RegisterIndex{reg}) : std::nullopt;
  }

  /// True if all registers are absent.
  [[nodiscard]] bool empty() const { return present_.none(); }

  friend bool operator==(const RegisterSet&, const RegisterSet&) = default;

private:
  [[nodiscard]] bool has_place(RegisterIndex reg) const {
    return reg.value() < layout_->size() && reg.value() < kMaxRegisters;
  }

  const RegisterLayout* layout_;
  std::bitset<kMaxRegisters> present_;
  std::array<std::uint64_t, kMaxRegisters> values_{}; ///< 0 if absent
};
static_assert(std::is_trivially_copyable_v<RegisterSet>);

/// The text form; absent registers have no line.
[[nodiscard]] std::string to_text(const RegisterSet& registers);

/// One register to be set.
struct RegisterValue {
  RegisterIndex reg; ///< in the layout of the driver that sets it
  std::uint64_t value;

  friend bool operator==(const RegisterValue&, const RegisterValue&) = default;
};

/// Reads lines of the text form (`name value`, value in hex with 0x or in decimal; blank lines and
/// lines that start with # are skipped). All of the text is checked before anything is returned, so
/// a bad line means that nothing gets set.
[[nodiscard]] Result<std::vector<RegisterValue>> parse_registers(const RegisterLayout& layout,
                                                                 std::string_view text);

} // namespace vmemfs
