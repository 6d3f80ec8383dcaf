// SPDX-License-Identifier: MIT
#include "drivers/qemu_protocol/hmp_registers.h"

#include "arch/x86_64/registers.h"
#include "core/text.h"

#include <algorithm>
#include <array>
#include <fmt/format.h>
#include <optional>
#include <utility>

namespace vmemfs {
namespace {

using x86_64::Register;
using x86_64::Segment;
using x86_64::segment_register;
using x86_64::SegmentPart;

constexpr std::string_view kOrigin = "registers";
constexpr std::uint64_t kMaxVcpus = 8192; ///< more than any machine type supports
constexpr std::size_t kLongHex = 16;      ///< digits of a value that is printed in full

constexpr std::uint64_t kEferLma = std::uint64_t{1} << 10;
constexpr std::uint64_t kPresent = std::uint64_t{1} << 7;
constexpr std::uint64_t kUnusable = std::uint64_t{1} << 16;

tl::unexpected<Error> bad_line(std::string_view line) {
  return fail(ErrorKind::source_failed, kOrigin,
              fmt::format("cannot parse a line of QEMU's registers: '{}'", printable(line, 120)));
}

struct Name {
  std::string_view name;
  Register reg;
};

/// Names that are not the upper-case form of the register's own name.
constexpr std::array kOtherNames = std::to_array<Name>({
    {"EAX", Register::rax},
    {"EBX", Register::rbx},
    {"ECX", Register::rcx},
    {"EDX", Register::rdx},
    {"ESI", Register::rsi},
    {"EDI", Register::rdi},
    {"EBP", Register::rbp},
    {"ESP", Register::rsp},
    {"EIP", Register::rip},
    {"RFL", Register::rflags},
    {"EFL", Register::rflags},
});

struct SegmentName {
  std::string_view name;
  Segment segment;
};

constexpr std::array kSegments = std::to_array<SegmentName>({
    {"CS", Segment::cs},
    {"SS", Segment::ss},
    {"DS", Segment::ds},
    {"ES", Segment::es},
    {"FS", Segment::fs},
    {"GS", Segment::gs},
    {"LDT", Segment::ldt},
    {"TR", Segment::tr},
});

std::optional<Register> plain_register(std::string_view name) {
  if (const auto other = std::ranges::find(kOtherNames, name, &Name::name); other != kOtherNames.end()) {
    return other->reg;
  }
  std::string lower{name};
  std::ranges::transform(lower, lower.begin(),
                         [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; });
  return x86_64::register_by_name(lower);
}

/// Removes the next word from the front of `text`.
std::string_view take_token(std::string_view& text) {
  text.remove_prefix(std::min(text.find_first_not_of(' '), text.size()));
  const std::string_view token = text.substr(0, text.find(' '));
  text.remove_prefix(token.size());
  return token;
}

/// "SELECTOR BASE LIMIT FLAGS ..." after the "=". A base of 8 digits may lack its upper half.
struct SegmentValue {
  std::uint64_t selector;
  std::uint64_t base;
  std::uint64_t limit;
  std::uint64_t flags;
  bool short_base;
};

std::optional<SegmentValue> parse_segment(std::string_view text) {
  const auto selector = parse_hex(take_token(text));
  const std::string_view base_text = take_token(text);
  const auto base = parse_hex(base_text);
  const auto limit = parse_hex(take_token(text));
  const auto flags = parse_hex(take_token(text));
  if (!selector || !base || !limit || !flags) {
    return std::nullopt;
  }
  return SegmentValue{*selector, *base, *limit, *flags, base_text.size() < kLongHex};
}

std::uint64_t attributes_of(std::uint64_t flags) {
  const std::uint64_t attributes = (flags >> 8) & 0xf0ff;
  return (attributes & kPresent) == 0 ? attributes | kUnusable : attributes;
}

/// The text of one vCPU, line by line.
class Block {
public:
  Result<void> take_line(std::string_view line) {
    const std::size_t equals = line.find('=');
    if (equals == std::string_view::npos) {
      return {};
    }
    const std::string_view name = trim(line.substr(0, equals));
    const std::string_view value = line.substr(equals + 1);
    if (const auto found = std::ranges::find(kSegments, name, &SegmentName::name); found != kSegments.end()) {
      return take_segment(found->segment, value, line);
    }
    if (name == "GDT" || name == "IDT") {
      return take_table(name == "GDT" ? Register::gdt_base : Register::idt_base, value, line);
    }
    return take_pairs(line);
  }

  RegisterSet finish() {
    // Outside 64-bit code QEMU prints 32 bits of each base. In long mode these four are wider.
    if ((registers_.get(Register::efer).value_or(0) & kEferLma) == 0) {
      for (const auto& [reg, value] : cut_bases_) {
        registers_.set(reg, value);
      }
    }
    return registers_;
  }

private:
  Result<void> take_segment(Segment segment, std::string_view text, std::string_view line) {
    const auto value = parse_segment(text);
    if (!value) {
      return bad_line(line);
    }
    const Register base = segment_register(segment, SegmentPart::base);
    const bool wide =
        segment == Segment::fs || segment == Segment::gs || segment == Segment::ldt || segment == Segment::tr;
    if (value->short_base && wide) {
      cut_bases_.emplace_back(base, value->base);
    } else {
      registers_.set(base, value->base);
    }
    registers_.set(segment_register(segment, SegmentPart::selector), value->selector);
    registers_.set(segment_register(segment, SegmentPart::limit), value->limit);
    registers_.set(segment_register(segment, SegmentPart::attributes), attributes_of(value->flags));
    return {};
  }

  /// "BASE LIMIT"; the limit's register follows the base's.
  Result<void> take_table(Register base_register, std::string_view text, std::string_view line) {
    const auto base = parse_hex(take_token(text));
    const auto limit = parse_hex(take_token(text));
    if (!base || !limit) {
      return bad_line(line);
    }
    registers_.set(base_register, *base);
    registers_.set(static_cast<Register>(static_cast<unsigned>(base_register) + 1), *limit);
    return {};
  }

  /// "NAME=VALUE NAME=VALUE ...", names padded with blanks ("R8 =..."); unknown names are skipped.
  Result<void> take_pairs(std::string_view line) {
    std::string_view rest = line;
    for (std::size_t equals = rest.find('='); equals != std::string_view::npos; equals = rest.find('=')) {
      std::string_view name = trim(rest.substr(0, equals));
      name.remove_prefix(name.rfind(' ') + 1); // the text before belongs to the last value
      rest.remove_prefix(equals + 1);
      const auto reg = plain_register(name);
      if (!reg) {
        continue;
      }
      const auto value = parse_hex(rest.substr(0, rest.find_first_of(" \t")));
      if (!value) {
        return bad_line(line);
      }
      registers_.set(*reg, *value);
    }
    return {};
  }

  RegisterSet registers_{x86_64::register_layout()};
  std::vector<std::pair<Register, std::uint64_t>> cut_bases_;
};

/// The number in "CPU#N"; nullopt if the line is something else or N is too large.
std::optional<std::size_t> vcpu_of(std::string_view line) {
  constexpr std::string_view kHeader = "CPU#";
  if (!line.starts_with(kHeader)) {
    return std::nullopt;
  }
  const auto number = parse_u64(line.substr(kHeader.size()));
  return number && *number < kMaxVcpus ? std::optional<std::size_t>{*number} : std::nullopt;
}

/// True if `text` has a register that no other architecture of QEMU prints.
bool is_x86(std::string_view text) {
  constexpr auto kOnlyX86 = std::to_array<std::string_view>(
      {"RAX=", "EAX=", "RIP=", "EIP=", "ES =", "GDT=", "IDT=", "LDT=", "CR0=", "EFER="});
  return std::ranges::any_of(kOnlyX86, [&](std::string_view name) {
    const std::size_t found = text.find(name);
    return found != std::string_view::npos &&
           (found == 0 || text[found - 1] == ' ' || text[found - 1] == '\n');
  });
}

} // namespace

bool has_register(RegisterIndex reg) {
  return reg.value() <= RegisterIndex{Register::efer}.value() && reg != Register::cr8;
}

Result<std::vector<RegisterSet>> parse_info_registers(std::string_view text) {
  if (text.find("CPU#") != std::string_view::npos && !is_x86(text)) {
    return fail(ErrorKind::unsupported, kOrigin,
                "QEMU's answer to 'info registers -a' has no x86 vCPU, and registers of other architectures "
                "are not supported");
  }
  std::vector<RegisterSet> sets;
  std::optional<std::size_t> current;
  Block block;
  const auto finish_block = [&] {
    if (current) {
      sets.resize(std::max(sets.size(), *current + 1), RegisterSet{x86_64::register_layout()});
      sets[*current] = block.finish();
    }
  };
  for (const std::string_view raw : split(text, '\n')) {
    const std::string_view line = trim(raw);
    if (line.starts_with("CPU#")) {
      finish_block();
      current = vcpu_of(line);
      block = {};
      if (!current) {
        return bad_line(line);
      }
    } else if (current) {
      if (auto taken = block.take_line(line); !taken) {
        return tl::unexpected{std::move(taken.error())};
      }
    }
  }
  finish_block();
  if (sets.empty() || std::ranges::all_of(sets, &RegisterSet::empty)) {
    return fail(ErrorKind::source_failed, kOrigin, "QEMU's answer to 'info registers -a' has no x86 vCPU");
  }
  return sets;
}

Result<std::vector<RegisterSet>> pick_registers(std::span<const RegisterSet> sets,
                                                std::span<const VcpuId> vcpus, std::string_view origin,
                                                std::string_view owner) {
  std::vector<RegisterSet> picked;
  for (const VcpuId vcpu : vcpus) {
    if (vcpu.value() >= sets.size() || sets[vcpu.value()].empty()) {
      return fail(ErrorKind::not_found, origin, fmt::format("{} has no vCPU {}", owner, vcpu.value()));
    }
    picked.push_back(sets[vcpu.value()]);
  }
  return picked;
}

} // namespace vmemfs
