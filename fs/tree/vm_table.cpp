// SPDX-License-Identifier: MIT
#include "fs/tree/vm_table.h"

#include "core/register_set.h"
#include "fs/files/control_file.h"
#include "fs/files/memory_file.h"
#include "fs/files/registers_file.h"
#include "fs/files/text/info_text.h"
#include "fs/files/text/maps_text.h"
#include "fs/files/text/status_text.h"
#include "fs/files/text_file.h"

#include <string>

namespace vmemfs {
namespace {

VmNode memory_file(HolePolicy policy) {
  return vm_file({.traits = {.guest_memory = true},
                  .writes = FileWrites::if_vm_writable,
                  .open = [policy](const std::shared_ptr<Vm>& vm, VcpuId /*vcpu*/,
                                   const std::shared_ptr<TextSize>& /*size*/) {
                    return std::make_unique<MemoryFile>(guest_of(vm), policy);
                  }});
}

/// A read-only text, made at each read from the start, unless the VM has ended.
struct Text {
  std::string (*make)(Vm& vm);
  std::string (*without_asking)(Vm& vm); ///< about the same, and waits for nobody
  TextSize::Varies varies;
};

VmNode text_file(Text text) {
  return vm_file({.open =
                      [make = text.make](const std::shared_ptr<Vm>& vm, VcpuId /*vcpu*/,
                                         const std::shared_ptr<TextSize>& size) {
                        return std::make_unique<TextFile>(
                            [vm, make]() -> Result<std::string> {
                              if (vm->gone()) {
                                return fail(ErrorKind::vm_gone, "fs", "the VM has ended");
                              }
                              return make(*vm);
                            },
                            size);
                      },
                  .text_bytes = [about = text.without_asking](
                                    Vm& vm, const TextSize& /*size*/) { return about(vm).size(); },
                  .varies = text.varies});
}

VmNode control_file() {
  return vm_file(
      {.traits = {.takes_commands = true},
       .writes = FileWrites::always,
       .open = [](const std::shared_ptr<Vm>& vm, VcpuId /*vcpu*/,
                  const std::shared_ptr<TextSize>& size) { return std::make_unique<ControlFile>(vm, size); },
       .text_bytes = [](Vm& vm, const TextSize& /*size*/) { return status_text(vm, kUsualState).size(); },
       .varies = TextSize::Varies::always});
}

/// The lines are of fixed width, so the size changes only with the registers that the source has.
std::size_t register_bytes(Vm& vm, const TextSize& size) {
  if (size.last_read() > 0) {
    return size.last_read();
  }
  const auto usual = vm.guest().usual_registers();
  return usual ? to_text(*usual).size() : 0;
}

VmNode registers_file() {
  return vm_file({.traits = {.takes_commands = true},
                  .writes = FileWrites::if_vm_writable,
                  .open =
                      [](const std::shared_ptr<Vm>& vm, VcpuId vcpu, const std::shared_ptr<TextSize>& size) {
                        return std::make_unique<RegistersFile>(guest_of(vm), vcpu, size);
                      },
                  .text_bytes = register_bytes});
}

std::string maps(Vm& vm) {
  vm.guest().memory().poll_layout();
  return maps_text(*vm.guest().memory().map());
}

std::string info(Vm& vm) { return info_text(vm); }

std::string info_without_asking(Vm& vm) { return info_text(vm, kUsualState); }

} // namespace

std::shared_ptr<const VmTable> vm_table() {
  static const auto kTable = std::make_shared<const VmTable>(VmTable{
      {"mem", memory_file(HolePolicy::honest)},
      {"mem_padded", memory_file(HolePolicy::padded)},
      {"maps", text_file({maps, maps, TextSize::Varies::seldom})},
      {"info", text_file({info, info_without_asking, TextSize::Varies::always})},
      {"control", control_file()},
      {"vcpus", vcpu_directories({
                    {"regs", registers_file()},
                })},
  });
  return kTable;
}

} // namespace vmemfs
