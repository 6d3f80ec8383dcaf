// SPDX-License-Identifier: MIT
#include "fs/tree/vm_table.h"

#include "arch/x86_64/registers.h"
#include "core/register_set.h"
#include "fs/files/batch/batch_file.h"
#include "fs/files/block_file.h"
#include "fs/files/control/control_file.h"
#include "fs/files/image_file.h"
#include "fs/files/memory_file.h"
#include "fs/files/registers_file.h"
#include "fs/files/text/info_text.h"
#include "fs/files/text/maps_text.h"
#include "fs/files/text/status_text.h"
#include "fs/files/text/virtual_maps_text.h"
#include "fs/files/text_file.h"
#include "fs/files/virt/virtual_file.h"
#include "fs/tree/linux_table.h"
#include "fs/tree/text_limit.h"
#include "vm/linux/linux_guest.h"
#include "vm/views/virtual_paging.h"

#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

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

VmNode block_file(const std::string& name) {
  return vm_file(
      {.traits = {.guest_memory = true, .backed = true},
       .writes = FileWrites::if_vm_writable,
       .open =
           [name](const std::shared_ptr<Vm>& vm, VcpuId /*vcpu*/, const std::shared_ptr<TextSize>& /*size*/) {
             return std::make_unique<BlockFile>(
                 guest_of(vm), name, [&services = vm->guest().block_services(), name](std::string text) {
                   services.note(name, std::move(text));
                 });
           },
       .image_bytes =
           [name](Guest& guest) {
             return BlockView{guest.memory(), name}.size();
           },
       .held_bytes =
           [name](Guest& guest) {
             return BlockView{guest.memory(), name}.held_bytes();
           }});
}

std::vector<std::string> blocks(Vm& vm) {
  vm.guest().memory().poll_layout();
  auto names = block_names(*vm.guest().memory().map());
  std::erase(names, std::string{});
  return names;
}

VmNode image_file(const ImageFormat& format) {
  return vm_file({.traits = {.guest_memory = true},
                  .open =
                      [&format](const std::shared_ptr<Vm>& vm, VcpuId /*vcpu*/,
                                const std::shared_ptr<TextSize>& /*size*/) {
                        return std::make_unique<ImageFile>(guest_of(vm), format);
                      },
                  .image_bytes = format.bytes});
}

/// Whoever may read memory may say which.
VmNode batch_file() {
  return vm_file(
      {.traits = {.takes_commands = true, .reads_memory = true},
       .writes = FileWrites::by_readers,
       .open =
           [](const std::shared_ptr<Vm>& vm, VcpuId /*vcpu*/, const std::shared_ptr<TextSize>& /*size*/) {
             return std::make_unique<BatchFile>(guest_of(vm), limit_of(vm));
           },
       .text_bytes = [](Vm& /*vm*/, const TextSize& /*size*/) { return BatchFile::kUsage.size(); },
       .preferred_bytes = kPreferredBatchWrite});
}

/// A read-only text, made at each read from the start, unless the VM has ended.
struct Text {
  std::string (*make)(Vm& vm);
  std::string (*without_asking)(Vm& vm); ///< about the same, and waits for nobody
  TextSize::Varies varies;
};

TextFile::Source source_of(const std::shared_ptr<Vm>& vm, std::function<std::string(Vm&)> make) {
  return [vm, make = std::move(make)]() -> Result<std::string> {
    if (vm->gone()) {
      return fail(ErrorKind::vm_gone, "fs", "the VM has ended");
    }
    return make(*vm);
  };
}

VmNode text_file(Text text) {
  return vm_file(
      {.open =
           [text](const std::shared_ptr<Vm>& vm, VcpuId /*vcpu*/, const std::shared_ptr<TextSize>& size) {
             return std::make_unique<TextFile>(source_of(vm, text.make), size, nullptr, limit_of(vm));
           },
       .text_bytes = [about = text.without_asking](Vm& vm,
                                                   const TextSize& /*size*/) { return about(vm).size(); },
       .varies = text.varies});
}

/// A pause with a limit has a line of its own.
std::size_t control_bytes(Vm& vm, const TextSize& /*size*/) {
  constexpr std::string_view kWithLimit = "pause_ends_in 86400000ms\n";
  return status_text(vm, kUsualState).size() + kWithLimit.size();
}

VmNode control_file() {
  return vm_file(
      {.traits = {.takes_commands = true},
       .writes = FileWrites::always,
       .open = [](const std::shared_ptr<Vm>& vm, VcpuId /*vcpu*/,
                  const std::shared_ptr<TextSize>& size) { return std::make_unique<ControlFile>(vm, size); },
       .text_bytes = control_bytes,
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

/// Files that never work are worse than none: whoever copies or searches the tree meets their errors.
bool has_virtual_memory(Vm& vm) {
  if (!VirtualView::check(vm.guest())) {
    return false;
  }
  const auto usual = vm.guest().usual_registers();
  return usual && can_have_virtual_paging(*usual);
}

/// Memory that was saved without registers has what it needs too. Of a Xen PV domain, which has CR3 but no
/// virtual memory, `info` says why there is nothing else.
bool may_run_linux(Vm& vm) {
  const auto usual = vm.guest().usual_registers();
  return vm.guest().linux_guest()->has_memory_only() ||
         (VirtualView::check(vm.guest()) && usual && usual->get(x86_64::Register::cr3));
}

/// Not of the kind `guest_memory`: a read may wait for registers, and the kernel keeps no page of a file of
/// size 0.
VmNode virtual_file() {
  return vm_file({.open = [](const std::shared_ptr<Vm>& vm, VcpuId vcpu,
                             const std::shared_ptr<TextSize>& /*size*/) -> Result<std::unique_ptr<OpenFile>> {
    return VirtualView::check(vm->guest()).map([&] {
      return std::unique_ptr<OpenFile>{std::make_unique<VirtualFile>(guest_of(vm), vcpu)};
    });
  }});
}

/// Before one was read nobody knows how long it is.
std::size_t virtual_maps_bytes(Vm& /*vm*/, const TextSize& size) {
  constexpr std::size_t kUsual = 16384;
  return size.last_read() > 0 ? size.last_read() : kUsual;
}

VmNode virtual_maps_file() {
  return vm_file(
      {.open =
           [](const std::shared_ptr<Vm>& vm, VcpuId vcpu, const std::shared_ptr<TextSize>& size) {
             return std::make_unique<TextFile>(
                 [vm, view = std::make_shared<VirtualView>(vm->guest(), vcpu)]() -> Result<std::string> {
                   return VirtualView::check(vm->guest())
                       .and_then([&] { return view->mapped_ranges(); })
                       .map([](const auto& ranges) { return virtual_maps_text(ranges); });
                 },
                 size, nullptr, limit_of(vm));
           },
       .text_bytes = virtual_maps_bytes,
       .varies = TextSize::Varies::always});
}

std::string maps(Vm& vm) {
  vm.guest().memory().poll_layout();
  return maps_text(*vm.guest().memory().map());
}

/// A shorter text asks nobody again: it has the state that the one before has, without the reason if that is
/// unknown.
VmNode info_file() {
  return vm_file(
      {.open =
           [](const std::shared_ptr<Vm>& vm, VcpuId /*vcpu*/, const std::shared_ptr<TextSize>& size) {
             const auto state = std::make_shared<std::string>();
             const auto make = [state](Vm& asked) {
               *state = state_name(asked);
               return info_text(asked, *state);
             };
             const auto make_shorter = [state](Vm& asked) { return info_text(asked, short_state(*state)); };
             return std::make_unique<TextFile>(source_of(vm, make), size, source_of(vm, make_shorter),
                                               limit_of(vm));
           },
       .text_bytes = [](Vm& vm, const TextSize& /*size*/) { return info_text(vm, kUsualState).size(); },
       .varies = TextSize::Varies::always});
}

} // namespace

std::shared_ptr<const VmTable> vm_table() {
  static const auto kTable = std::make_shared<const VmTable>(VmTable{
      {"mem", memory_file(HolePolicy::honest)},
      {"mem_padded", memory_file(HolePolicy::padded)},
      {"core", image_file(core_format())},
      {"mem.lime", image_file(lime_format())},
      {"maps", text_file({maps, maps, TextSize::Varies::seldom})},
      {"info", info_file()},
      {"control", control_file()},
      {"batch", batch_file()},
      {"vcpus", vcpu_directories({
                    {"regs", registers_file()},
                    {"virt", virtual_file(), has_virtual_memory},
                    {"virt_maps", virtual_maps_file(), has_virtual_memory},
                })},
      {"ram", vm_directory({}, {.list = blocks, .node = block_file, .waits = false})},
      {"linux", vm_directory(linux_table()), may_run_linux},
  });
  return kTable;
}

} // namespace vmemfs
