// SPDX-License-Identifier: MIT
#include "arch/aarch64/registers.h"
#include "arch/x86_64/elf_notes.h"
#include "arch/x86_64/registers.h"
#include "image/elf_core.h"
#include "vm/views/image.h"

namespace vmemfs {
namespace {

constexpr std::string_view kCore = "CORE";
constexpr std::string_view kQemu = "QEMU";

bool is_x86_64(const Guest& guest) { return guest.register_layout() == &x86_64::register_layout(); }

ElfMachine machine_of(const Guest& guest) {
  if (is_x86_64(guest)) {
    return ElfMachine::x86_64;
  }
  return guest.register_layout() == &aarch64::register_layout() ? ElfMachine::aarch64 : ElfMachine::none;
}

/// The vCPUs that get notes.
std::vector<VcpuId> vcpus_of(const Guest& guest) {
  if (!is_x86_64(guest)) {
    return {};
  }
  const VcpuSet vcpus = guest.vcpus();
  return {vcpus.begin(), vcpus.end()};
}

ElfCoreShape shape_of(std::size_t ranges, std::size_t vcpus) {
  return {.ranges = ranges,
          .max_virtual = 0,
          .max_note_bytes = vcpus * (elf_note_bytes(kCore, sizeof(x86_64::Prstatus)) +
                                     elf_note_bytes(kQemu, sizeof(x86_64::QemuCpuState)))};
}

/// As QEMU orders and numbers them. None if the registers cannot be read.
std::vector<std::byte> register_notes(Guest& guest, std::span<const VcpuId> vcpus) {
  std::vector<std::byte> notes;
  if (vcpus.empty()) {
    return notes;
  }
  const auto registers = guest.read_registers(vcpus);
  if (!registers) {
    return notes;
  }
  for (std::size_t i = 0; i < vcpus.size(); ++i) {
    add_elf_note(notes, kCore, kElfPrstatus, x86_64::prstatus((*registers)[i], vcpus[i].value() + 1));
  }
  for (const RegisterSet& set : *registers) {
    add_elf_note(notes, kQemu, kElfUntyped, x86_64::qemu_cpu_state(set));
  }
  return notes;
}

Image lay_out(Guest& guest) {
  auto ranges = image_ranges(*guest.memory().map());
  auto vcpus = vcpus_of(guest);
  const ElfCoreShape shape = shape_of(ranges.size(), vcpus.size());
  ImageLayout layout;
  layout.add_made(shape.header_bytes());
  for (const GpaRange& range : ranges) {
    layout.add_guest(range);
  }
  return {std::move(layout), [ranges = std::move(ranges), vcpus = std::move(vcpus), shape](Guest& owner) {
            return elf_core_header(
                shape,
                {.machine = machine_of(owner), .ranges = ranges, .notes = register_notes(owner, vcpus)});
          }};
}

std::uint64_t bytes(Guest& guest) {
  const auto ranges = image_ranges(*guest.memory().map());
  return shape_of(ranges.size(), vcpus_of(guest).size()).header_bytes() + bytes_of(ranges);
}

} // namespace

const ImageFormat& core_format() {
  static constexpr ImageFormat kFormat{&lay_out, &bytes};
  return kFormat;
}

} // namespace vmemfs
