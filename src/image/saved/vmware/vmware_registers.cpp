// SPDX-License-Identifier: MIT
#include "image/saved/vmware/vmware_registers.h"

#include "arch/x86_64/registers.h"
#include "image/saved/elf_notes.h"

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstring>
#include <iterator>
#include <span>
#include <string_view>
#include <utility>

namespace vmemfs {
namespace {

using x86_64::Register;
using x86_64::Segment;
using x86_64::SegmentPart;
using enum x86_64::Register;

struct NamedRegister {
  std::string_view name;
  Register reg;
};
constexpr NamedRegister kNamed[] = {
    {"rax", rax}, {"rcx", rcx}, {"rdx", rdx}, {"rbx", rbx}, {"rbp", rbp}, {"rsp", rsp},
    {"rsi", rsi}, {"rdi", rdi}, {"r8", r8},   {"r9", r9},   {"r10", r10}, {"r11", r11},
    {"r12", r12}, {"r13", r13}, {"r14", r14}, {"r15", r15}, {"rip", rip},
};

/// The block "gpregs": rbp is before rsp, unlike in the numbering of the CPU.
constexpr Register kGeneral[] = {rax, rcx, rdx, rbx, rbp, rsp, rsi, rdi,
                                 r8,  r9,  r10, r11, r12, r13, r14, r15};

/// The block "CR64", and its second index.
constexpr std::optional<Register> kControl[] = {
    cr0, std::nullopt, cr2, cr3, cr4, std::nullopt, std::nullopt, std::nullopt, cr8,
};

/// The second index of "S" and "S.base64".
constexpr Segment kSegments[] = {Segment::es, Segment::cs, Segment::ss,  Segment::ds,
                                 Segment::fs, Segment::gs, Segment::ldt, Segment::tr};

constexpr std::uint64_t kLow16 = 0xffff;
constexpr std::uint64_t kLow32 = 0xffff'ffff;

std::optional<Register> control_register(const VmwareTag& tag) {
  const auto index = tag.index(1);
  return index && *index < std::size(kControl) ? kControl[*index] : std::nullopt;
}

/// The base comes in halves: 1 is the lower one, 2 the upper one.
void add_idt_half(RegisterSet& set, const VmwareTag& tag) {
  const std::uint64_t base = set.get(idt_base).value_or(0);
  const std::uint64_t half = tag.number & kLow32;
  if (tag.index(1) == 1U) {
    set.set(idt_base, (base & ~kLow32) | half);
  } else if (tag.index(1) == 2U) {
    set.set(idt_base, (base & kLow32) | half << 32U);
  }
}

} // namespace

void VmwareRegisters::add(const SavedFile& file, const VmwareTag& tag) {
  if (tag.name == "cpu:numVCPUs") {
    count_ = count_.value_or(tag.number);
    return;
  }
  const auto vcpu = tag.index(0);
  if (!vcpu || *vcpu >= kMaxDumpVcpus) {
    return;
  }
  RegisterSet none{x86_64::register_layout()};
  RegisterSet& set = *vcpu < sets_.size() ? sets_[*vcpu] : none;
  if (tag.kind == VmwareTag::Kind::value) {
    add_value(set, tag);
  } else if (tag.kind == VmwareTag::Kind::block) {
    add_block(set, file, tag);
  }
  if (!none.empty()) {
    sets_.resize(std::size_t{*vcpu} + 1, RegisterSet{x86_64::register_layout()});
    sets_.back() = none;
  }
}

void VmwareRegisters::add_value(RegisterSet& set, const VmwareTag& tag) {
  const auto* const named = std::ranges::find(kNamed, tag.name, &NamedRegister::name);
  const auto segment = tag.index(1);
  if (named != std::end(kNamed)) {
    set.set(named->reg, tag.number);
  } else if (tag.name == "eflags" || tag.name == "EFLAGS") { // each may have only some of the bits
    set.set(rflags, set.get(rflags).value_or(0) | (tag.number & kLow32));
  } else if (tag.name == "CR64") {
    if (const auto reg = control_register(tag)) {
      set.set(*reg, tag.number);
    }
  } else if (tag.name == "CR") { // of old versions: the lower halves
    if (const auto reg = control_register(tag); reg && !set.get(*reg)) {
      set.set(*reg, tag.number & kLow32);
    }
  } else if (tag.name == "IDTR") {
    add_idt_half(set, tag);
  } else if (tag.name == "S" && segment && *segment < std::size(kSegments)) {
    set.set(segment_register(kSegments[*segment], SegmentPart::selector), tag.number & kLow16);
  } else if (tag.name == "S.base64" && segment && *segment < std::size(kSegments)) {
    set.set(segment_register(kSegments[*segment], SegmentPart::base), tag.number);
  }
}

void VmwareRegisters::add_block(RegisterSet& set, const SavedFile& file, const VmwareTag& tag) {
  constexpr std::size_t kIdtBytes = 10;
  std::array<std::uint64_t, std::size(kGeneral)> numbers{};
  const auto all = std::as_writable_bytes(std::span{numbers});
  const auto read = [&](std::size_t size) {
    return tag.size == size && file.read(tag.offset, all.first(size)) == size;
  };
  if (tag.name == "gpregs" && read(sizeof numbers)) {
    for (std::size_t i = 0; i < std::size(kGeneral); ++i) {
      set.set(kGeneral[i], numbers[i]);
    }
  } else if (tag.name == "CR64" && read(std::size(kControl) * sizeof(std::uint64_t))) {
    for (std::size_t i = 0; i < std::size(kControl); ++i) {
      if (const auto reg = kControl[i]) {
        set.set(*reg, numbers[i]);
      }
    }
  } else if (tag.name == "IDTR" && read(kIdtBytes)) { // u16 limit, u64 base
    std::uint64_t base = 0;
    std::memcpy(&base, all.data() + sizeof(std::uint16_t), sizeof base);
    set.set(idt_limit, numbers[0] & kLow16);
    set.set(idt_base, base);
  }
}

std::vector<RegisterSet> VmwareRegisters::take() {
  const auto count =
      static_cast<std::size_t>(std::min<std::uint64_t>(count_.value_or(sets_.size()), kMaxDumpVcpus));
  if (std::ranges::all_of(sets_.begin(),
                          sets_.begin() + static_cast<std::ptrdiff_t>(std::min(count, sets_.size())),
                          [](const RegisterSet& set) { return set.empty(); })) {
    return {};
  }
  sets_.resize(count, RegisterSet{x86_64::register_layout()});
  return std::exchange(sets_, {});
}

} // namespace vmemfs
