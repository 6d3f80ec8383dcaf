// SPDX-License-Identifier: MIT
#include "fs/tree/vm_table.h"

#include "fs/files/control_file.h"
#include "fs/files/memory_file.h"
#include "fs/files/registers_file.h"
#include "fs/files/text/info_text.h"
#include "fs/files/text/maps_text.h"
#include "fs/files/text_file.h"

#include <string>

namespace vmemfs {
namespace {

VmNode memory_file(HolePolicy policy) {
  return vm_file({.traits = {.guest_memory = true},
                  .writes = FileWrites::if_vm_writable,
                  .open = [policy](const std::shared_ptr<Vm>& vm, VcpuId /*vcpu*/) {
                    return std::make_unique<MemoryFile>(guest_of(vm), policy);
                  }});
}

/// A read-only text. `text` is called at each read from the start, unless the VM has ended.
VmNode text_file(Result<std::string> (*text)(Vm& vm)) {
  return vm_file({.open = [text](const std::shared_ptr<Vm>& vm, VcpuId /*vcpu*/) {
    return std::make_unique<TextFile>([vm, text]() -> Result<std::string> {
      if (vm->gone()) {
        return fail(ErrorKind::vm_gone, "fs", "the VM has ended");
      }
      return text(*vm);
    });
  }});
}

VmNode control_file() {
  return vm_file({.traits = {.takes_commands = true},
                  .writes = FileWrites::always,
                  .open = [](const std::shared_ptr<Vm>& vm, VcpuId /*vcpu*/) {
                    return std::make_unique<ControlFile>(vm);
                  }});
}

VmNode registers_file() {
  return vm_file({.traits = {.takes_commands = true},
                  .writes = FileWrites::if_vm_writable,
                  .open = [](const std::shared_ptr<Vm>& vm, VcpuId vcpu) {
                    return std::make_unique<RegistersFile>(guest_of(vm), vcpu);
                  }});
}

Result<std::string> maps(Vm& vm) {
  vm.guest().memory().poll_layout();
  return maps_text(*vm.guest().memory().map());
}

Result<std::string> info(Vm& vm) { return info_text(vm); }

} // namespace

std::shared_ptr<const VmTable> vm_table() {
  static const auto kTable = std::make_shared<const VmTable>(VmTable{
      {"mem", memory_file(HolePolicy::honest)},
      {"mem_padded", memory_file(HolePolicy::padded)},
      {"maps", text_file(maps)},
      {"info", text_file(info)},
      {"control", control_file()},
      {"vcpus", vcpu_directories({
                    {"regs", registers_file()},
                })},
  });
  return kTable;
}

} // namespace vmemfs
