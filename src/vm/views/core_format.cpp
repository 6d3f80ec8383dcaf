// SPDX-License-Identifier: MIT
#include "arch/aarch64/elf_notes.h"
#include "arch/aarch64/registers.h"
#include "arch/riscv64/elf_notes.h"
#include "arch/riscv64/registers.h"
#include "arch/x86_64/elf_notes.h"
#include "arch/x86_64/registers.h"
#include "image/elf_core.h"
#include "linux/vmcoreinfo.h"
#include "vm/linux/linux_guest.h"
#include "vm/views/image.h"

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>
#include <utility>
#include <vector>

namespace vmemfs {
namespace {

constexpr std::string_view kCore = "CORE";
constexpr std::string_view kQemu = "QEMU";
constexpr std::string_view kVmcoreinfo = "VMCOREINFO";

bool is_x86_64(const Guest& guest) { return guest.register_layout() == &x86_64::register_layout(); }

/// A machine, and the notes of its vCPUs.
struct CoreMachine {
  ElfMachine elf;
  const RegisterLayout* layout;
  std::size_t note_bytes; ///< of a vCPU
  std::vector<std::byte> (*notes)(std::span<const VcpuId> vcpus, std::span<const RegisterSet> registers);
};

/// The number of a vCPU's thread, as QEMU numbers them.
std::uint32_t thread_of(VcpuId vcpu) { return vcpu.value() + 1; }

template <typename Note> using MakePrstatus = Note (*)(const RegisterSet& registers, std::uint32_t pid);

template <typename Note, MakePrstatus<Note> make>
std::vector<std::byte> prstatus_notes(std::span<const VcpuId> vcpus, std::span<const RegisterSet> registers) {
  std::vector<std::byte> notes;
  for (std::size_t i = 0; i < registers.size(); ++i) {
    add_elf_note(notes, kCore, kElfPrstatus, make(registers[i], thread_of(vcpus[i])));
  }
  return notes;
}

/// As QEMU orders them.
std::vector<std::byte> x86_64_notes(std::span<const VcpuId> vcpus, std::span<const RegisterSet> registers) {
  auto notes = prstatus_notes<x86_64::Prstatus, &x86_64::prstatus>(vcpus, registers);
  for (const RegisterSet& set : registers) {
    add_elf_note(notes, kQemu, kElfUntyped, x86_64::qemu_cpu_state(set));
  }
  return notes;
}

std::span<const CoreMachine> machines() {
  static const std::array kMachines = std::to_array<CoreMachine>(
      {{ElfMachine::x86_64, &x86_64::register_layout(),
        elf_note_bytes(kCore, sizeof(x86_64::Prstatus)) + elf_note_bytes(kQemu, sizeof(x86_64::QemuCpuState)),
        &x86_64_notes},
       {ElfMachine::aarch64, &aarch64::register_layout(), elf_note_bytes(kCore, sizeof(aarch64::Prstatus)),
        &prstatus_notes<aarch64::Prstatus, &aarch64::prstatus>},
       {ElfMachine::riscv64, &riscv64::register_layout(), elf_note_bytes(kCore, sizeof(riscv64::Prstatus)),
        &prstatus_notes<riscv64::Prstatus, &riscv64::prstatus>}});
  return kMachines;
}

/// Null for one that gets no notes, and for none.
const CoreMachine* machine_with(const RegisterLayout* layout) {
  const auto all = machines();
  const auto found = std::ranges::find(all, layout, &CoreMachine::layout);
  return found != all.end() ? &*found : nullptr;
}

std::vector<std::byte> register_notes(std::span<const VcpuId> vcpus, std::span<const RegisterSet> registers) {
  const CoreMachine* const noted = registers.empty() ? nullptr : machine_with(&registers.front().layout());
  return noted != nullptr ? noted->notes(vcpus, registers) : std::vector<std::byte>{};
}

/// By the registers; without them by what the source says, of x86 only with them.
ElfMachine machine_of(const Guest& guest) {
  if (const CoreMachine* const noted = machine_with(guest.register_layout())) {
    return noted->elf;
  }
  for (const CoreMachine& machine : machines()) {
    if (machine.elf != ElfMachine::x86_64 && guest.identity().architecture == machine.layout->architecture) {
      return machine.elf;
    }
  }
  return ElfMachine::none;
}

/// The vCPUs that get notes.
std::vector<VcpuId> vcpus_of(const Guest& guest) {
  if (machine_with(guest.register_layout()) == nullptr) {
    return {};
  }
  const VcpuSet vcpus = guest.vcpus();
  return {vcpus.begin(), vcpus.end()};
}

bool has_memory_only(Guest& guest) {
  LinuxGuest* const linux_guest = guest.linux_guest();
  return linux_guest != nullptr && linux_guest->has_memory_only();
}

/// Of memory alone it is unknown what it is until a kernel is found.
bool may_run_linux(Guest& guest) { return is_x86_64(guest) || has_memory_only(guest); }

/// With room for what a Linux kernel adds, so that the size does not depend on what runs.
ElfCoreShape shape_of(Guest& guest, std::size_t ranges, std::size_t vcpus) {
  const CoreMachine* const noted = machine_with(guest.register_layout());
  ElfCoreShape shape{.ranges = ranges, .max_note_bytes = noted != nullptr ? vcpus * noted->note_bytes : 0};
  if (may_run_linux(guest)) {
    shape.max_virtual = ranges + 1;
    shape.max_note_bytes += elf_note_bytes(kVmcoreinfo, kMaxVmcoreinfo);
  }
  return shape;
}

/// The kernel's image and, if it is known, where it has all memory. Memory of the image beyond its range is
/// left out.
std::vector<ElfVirtualRange> virtual_ranges(const LinuxKernel& kernel, std::span<const GpaRange> ranges) {
  std::vector<ElfVirtualRange> found;
  for (const GpaRange& range : ranges) {
    const GpaRange direct{std::max(range.begin, kernel.direct_map_begin), range.end};
    if (kernel.direct_map && direct.begin < direct.end) {
      found.push_back({direct, *kernel.direct_map + direct.begin.value()});
    }
    const GpaRange image{kernel.image.begin, std::min(kernel.image.end, range.end)};
    if (range.contains(image.begin) && !image.empty()) {
      found.push_back({image, kernel.image_address});
    }
  }
  return found;
}

/// False: a kernel may be found later.
bool add_kernel(ElfCore& core, Guest& guest, std::span<const RegisterSet> registers) {
  LinuxGuest* const linux_guest = guest.linux_guest();
  if (linux_guest == nullptr) {
    return true;
  }
  const auto kernel = linux_guest->find(registers);
  if (!kernel) {
    return false;
  }
  core.machine = kernel->architecture->machine(); // nothing else says so of memory alone
  add_elf_note(core.notes, kVmcoreinfo, kElfUntyped, std::as_bytes(std::span{kernel->info.text}));
  core.virtual_ranges = virtual_ranges(*kernel, core.ranges);
  return true;
}

/// The bytes before the memory.
ImageBytes make(Guest& guest, const ElfCoreShape& shape, std::span<const GpaRange> ranges,
                std::span<const VcpuId> vcpus) {
  ElfCore core{.machine = machine_of(guest), .ranges = ranges};
  bool settled = true;
  std::vector<RegisterSet> registers;
  if (!vcpus.empty()) {
    auto read = guest.read_registers(vcpus);
    settled = read.has_value();
    if (read) {
      registers = std::move(*read);
      core.notes = register_notes(vcpus, registers);
    }
  }
  if (has_memory_only(guest) || (is_x86_64(guest) && !registers.empty())) {
    settled = add_kernel(core, guest, registers) && settled;
  }
  return {elf_core_header(shape, core), settled};
}

Image lay_out(Guest& guest) {
  auto ranges = image_ranges(*guest.memory().map());
  auto vcpus = vcpus_of(guest);
  const ElfCoreShape shape = shape_of(guest, ranges.size(), vcpus.size());
  ImageLayout layout;
  layout.add_made(shape.header_bytes());
  for (const GpaRange& range : ranges) {
    layout.add_guest(range);
  }
  return {std::move(layout), [ranges = std::move(ranges), vcpus = std::move(vcpus), shape](Guest& owner) {
            return make(owner, shape, ranges, vcpus);
          }};
}

std::uint64_t bytes(Guest& guest) {
  const auto ranges = image_ranges(*guest.memory().map());
  return shape_of(guest, ranges.size(), vcpus_of(guest).size()).header_bytes() + bytes_of(ranges);
}

} // namespace

const ImageFormat& core_format() {
  static constexpr ImageFormat kFormat{&lay_out, &bytes};
  return kFormat;
}

} // namespace vmemfs
