#include "core/registers.h"

#include "core/text.h"

#include <algorithm>
#include <fmt/format.h>
#include <iterator>

namespace vmemfs {
namespace {

// clang-format off: a line stands for a group
constexpr std::array<std::string_view, kRegisterCount> kNames{
    "rax",
    "rbx",
    "rcx",
    "rdx",
    "rsi",
    "rdi",
    "rbp",
    "rsp",
    "r8",
    "r9",
    "r10",
    "r11",
    "r12",
    "r13",
    "r14",
    "r15",
    "rip",
    "rflags",
    "cs.selector",
    "cs.base",
    "cs.limit",
    "cs.attributes",
    "ss.selector",
    "ss.base",
    "ss.limit",
    "ss.attributes",
    "ds.selector",
    "ds.base",
    "ds.limit",
    "ds.attributes",
    "es.selector",
    "es.base",
    "es.limit",
    "es.attributes",
    "fs.selector",
    "fs.base",
    "fs.limit",
    "fs.attributes",
    "gs.selector",
    "gs.base",
    "gs.limit",
    "gs.attributes",
    "ldt.selector",
    "ldt.base",
    "ldt.limit",
    "ldt.attributes",
    "tr.selector",
    "tr.base",
    "tr.limit",
    "tr.attributes",
    "gdt.base",
    "gdt.limit",
    "idt.base",
    "idt.limit",
    "cr0",
    "cr2",
    "cr3",
    "cr4",
    "cr8",
    "dr0",
    "dr1",
    "dr2",
    "dr3",
    "dr6",
    "dr7",
    "efer",
    "star",
    "lstar",
    "cstar",
    "sfmask",
    "kernel_gs_base",
    "sysenter_cs",
    "sysenter_esp",
    "sysenter_eip",
    "pat",
};
// clang-format on

} // namespace

std::span<const std::string_view, kRegisterCount> register_names() { return kNames; }

std::string_view to_string(Register reg) { return kNames[static_cast<std::size_t>(reg)]; }

std::optional<Register> register_by_name(std::string_view name) {
  const auto found = std::ranges::find(kNames, name);
  if (found == kNames.end()) {
    return std::nullopt;
  }
  return static_cast<Register>(std::distance(kNames.begin(), found));
}

bool RegisterSet::empty() const {
  return std::ranges::none_of(values_, [](const auto& value) { return value.has_value(); });
}

std::string to_text(const RegisterSet& registers) {
  std::string text;
  for (std::size_t i = 0; i < kRegisterCount; ++i) {
    if (const auto value = registers.get(static_cast<Register>(i))) {
      text += fmt::format("{} {:#018x}\n", kNames[i], *value);
    }
  }
  return text;
}

Result<std::vector<RegisterValue>> parse_registers(std::string_view text) {
  std::vector<RegisterValue> values;
  std::size_t line_number = 0;
  for (std::string_view line : split(text, '\n')) {
    ++line_number;
    const auto refuse = [&](std::string_view why) {
      return fail(ErrorKind::invalid, "registers",
                  fmt::format("line {}: {}; a line is a register's name and its value, as in "
                              "'rbx 0x000000000001ad40'",
                              line_number, why));
    };
    line = trim(line);
    if (line.empty() || line.front() == '#') {
      continue;
    }
    const std::size_t gap = line.find_first_of(" \t");
    const std::string_view name = line.substr(0, gap);
    const auto reg = register_by_name(name);
    if (!reg) {
      return refuse(fmt::format("there is no register '{}'", printable(name)));
    }
    if (gap == std::string_view::npos) {
      return refuse(fmt::format("'{}' has no value", name));
    }
    const std::string_view number = trim(line.substr(gap));
    const auto value = parse_u64(number);
    if (!value) {
      return refuse(fmt::format("'{}' is no 64-bit number", printable(number)));
    }
    values.push_back({*reg, *value});
  }
  if (values.empty()) {
    return fail(ErrorKind::invalid, "registers", "no register is named; write lines such as 'rbx 0x1'");
  }
  return values;
}

} // namespace vmemfs
