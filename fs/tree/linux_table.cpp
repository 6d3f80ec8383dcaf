// SPDX-License-Identifier: MIT
#include "fs/tree/linux_table.h"

#include "fs/files/linux/kept_file.h"
#include "fs/files/linux/kernel_elf_file.h"
#include "fs/files/linux/linux_info_text.h"
#include "fs/files/text_file.h"
#include "fs/tree/text_limit.h"
#include "linux/modules/module_list.h"
#include "linux/mounts/mount_list.h"
#include "linux/printk/kernel_log.h"
#include "linux/running_kernel.h"
#include "linux/sockets/socket_list.h"
#include "linux/symbols/symbol_map.h"
#include "linux/tasks/process_list.h"
#include "util/work_limit.h"
#include "vm/linux/linux_guest.h"

#include <chrono>
#include <cstddef>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

namespace vmemfs {
namespace {

/// Of the log, from memory that may be far away and say anything.
constexpr std::chrono::seconds kMaxReadTime{10};

Result<LinuxGuest*> linux_of(Vm& vm) {
  if (vm.gone()) {
    return fail(ErrorKind::vm_gone, "fs", "the VM has ended");
  }
  return vm.guest().linux_guest();
}

/// What is not known of a kernel is said in it, so it is there always, and is made at each read from the
/// start.
VmNode info_file() {
  constexpr std::size_t kUsualBytes = 1024;
  return vm_file(
      {.open =
           [](const std::shared_ptr<Vm>& vm, VcpuId /*vcpu*/, const std::shared_ptr<TextSize>& size) {
             return std::make_unique<TextFile>(
                 [vm] {
                   return linux_of(*vm).map([](LinuxGuest* guest) { return linux_info_text(*guest); });
                 },
                 size, nullptr, limit_of(vm));
           },
       .text_bytes =
           [](Vm& /*vm*/, const TextSize& size) {
             return size.last_read() > 0 ? size.last_read() : kUsualBytes;
           },
       .varies = TextSize::Varies::always});
}

/// A text of the kernel that runs, made when it is opened and at each further read from its start. Its size
/// is 0 before it was made once; a listing makes it.
template <KernelText kind, Result<std::string> (*make)(KernelFacts&)> class TextOfKernel {
public:
  /// `varies`: not only from kernel to kernel.
  [[nodiscard]] static VmNode node(TextSize::Varies varies) {
    return vm_file(
        {.traits = {.waits_to_open = true},
         .open = open,
         .text_bytes = [](Vm& vm,
                          const TextSize& /*size*/) { return vm.guest().linux_guest()->text_bytes(kind); },
         .varies = varies});
  }

  /// For a listing: of the kernel that was found last.
  [[nodiscard]] static bool is_present(Vm& vm) {
    LinuxGuest& guest = *vm.guest().linux_guest();
    const auto facts = guest.known();
    return facts != nullptr && text(guest, *facts).has_value();
  }
  /// The same, but searches, and waits for the VM's registers for a moment.
  [[nodiscard]] static bool is_found(Vm& vm) {
    LinuxGuest& guest = *vm.guest().linux_guest();
    const auto facts = guest.kernel_to_list();
    return facts && text(guest, **facts).has_value();
  }

private:
  static Result<std::string> text(LinuxGuest& guest, KernelFacts& facts) {
    auto made = make(facts);
    guest.note_use();
    if (made) {
      guest.note_text(kind, made->size());
    }
    return made;
  }
  static Result<std::string> read(Vm& vm) {
    return linux_of(vm).and_then([](LinuxGuest* guest) {
      return guest->kernel().and_then(
          [guest](const std::shared_ptr<KernelFacts>& facts) { return text(*guest, *facts); });
    });
  }
  static Result<std::unique_ptr<OpenFile>> open(const std::shared_ptr<Vm>& vm, VcpuId /*vcpu*/,
                                                const std::shared_ptr<TextSize>& size) {
    return read(*vm).and_then([&](std::string&& first) -> Result<std::unique_ptr<OpenFile>> {
      auto file = std::make_unique<TextFile>([vm] { return read(*vm); }, size, nullptr, limit_of(vm));
      return file->begin_with(std::move(first)).map([&]() -> std::unique_ptr<OpenFile> {
        return std::move(file);
      });
    });
  }
};

/// Bytes that are made when the file is opened, as they may be many: until then the size is 0.
struct LinuxBytes {
  std::function<Result<KeptBytes>(KernelFacts& facts)> make;
  std::function<std::size_t(const KernelFacts& facts)> known_bytes;
};

Result<std::unique_ptr<OpenFile>> open_bytes(const std::shared_ptr<Vm>& vm, const LinuxBytes& bytes) {
  return linux_of(*vm).and_then([&](LinuxGuest* guest) {
    return guest->kernel()
        .and_then([&](const std::shared_ptr<KernelFacts>& facts) { return bytes.make(*facts); })
        .and_then([&](KeptBytes&& kept) -> Result<std::unique_ptr<OpenFile>> {
          guest->note_use();
          return vm->guest().shown_texts().add(kept.owner, kept.bytes.size()).map([&] {
            return std::unique_ptr<OpenFile>{std::make_unique<KeptFile>(guest_of(vm), std::move(kept))};
          });
        });
  });
}

VmNode linux_bytes(const LinuxBytes& bytes) {
  return vm_file(
      {.traits = {.waits_to_open = true},
       .open = [bytes](const std::shared_ptr<Vm>& vm, VcpuId /*vcpu*/,
                       const std::shared_ptr<TextSize>& /*size*/) { return open_bytes(vm, bytes); },
       .made_bytes = [known_bytes = bytes.known_bytes](Vm& vm) -> std::size_t {
         const auto facts = vm.guest().linux_guest()->known();
         return facts != nullptr ? known_bytes(*facts) : 0;
       }});
}

KeptBytes kept(std::shared_ptr<const std::string> text) {
  const std::string_view bytes{*text};
  return {std::move(text), bytes};
}

VmNode vmlinux_file() {
  return vm_file(
      {.traits = {.guest_memory = true, .waits_to_open = true},
       .open = [](const std::shared_ptr<Vm>& vm, VcpuId /*vcpu*/,
                  const std::shared_ptr<TextSize>& /*size*/) -> Result<std::unique_ptr<OpenFile>> {
         return linux_of(*vm).and_then([&](LinuxGuest* guest) {
           return guest->kernel()
               .and_then([](const std::shared_ptr<KernelFacts>& facts) { return facts->vmlinux(); })
               .and_then([&](std::shared_ptr<const ElfFile>&& elf) -> Result<std::unique_ptr<OpenFile>> {
                 guest->note_use();
                 return vm->guest().shown_texts().add(elf, elf->made.size()).map([&] {
                   return std::unique_ptr<OpenFile>{
                       std::make_unique<KernelElfFile>(guest_of(vm), std::move(elf))};
                 });
               });
         });
       },
       .image_bytes = [](Guest& guest) -> std::uint64_t {
         const auto facts = guest.linux_guest()->known();
         return facts != nullptr ? facts->vmlinux_bytes() : 0;
       }});
}

Result<std::string> dmesg(KernelFacts& facts) {
  const WorkLimit limit{WorkLimit::Clock::now() + kMaxReadTime};
  return kernel_log(facts.memory(), facts.kernel().info);
}

template <Result<std::string> (*list)(const RunningKernel&)> Result<std::string> list_of(KernelFacts& facts) {
  return facts.list(list);
}

Result<std::string> banner(KernelFacts& facts) {
  return facts.banner().map([](const std::shared_ptr<const std::string>& text) { return *text; });
}

Result<std::string> vmcoreinfo(KernelFacts& facts) { return facts.kernel().info.text; }

using Banner = TextOfKernel<KernelText::banner, banner>;
using VmcoreinfoText = TextOfKernel<KernelText::vmcoreinfo, vmcoreinfo>;
using Dmesg = TextOfKernel<KernelText::dmesg, dmesg>;
using Processes = TextOfKernel<KernelText::ps, list_of<process_list>>;
using Modules = TextOfKernel<KernelText::modules, list_of<module_list>>;
using Mounts = TextOfKernel<KernelText::mounts, list_of<mount_list>>;
using Sockets = TextOfKernel<KernelText::sockets, list_of<socket_list>>;

Result<KeptBytes> system_map(KernelFacts& facts) { return facts.system_map().map(kept); }

Result<KeptBytes> kallsyms(KernelFacts& facts) {
  return facts.symbols().and_then([&](const std::shared_ptr<const KernelSymbols>& symbols) {
    return facts.module_symbols().map([&](const std::string& of_modules) {
      return kept(std::make_shared<const std::string>(symbol_map(*symbols, 0) + of_modules));
    });
  });
}

KeptBytes bytes_of(std::shared_ptr<const btf::Types> types) {
  const auto bytes = types->bytes();
  return {std::move(types), {reinterpret_cast<const char*>(bytes.data()), bytes.size()}};
}

Result<KeptBytes> kernel_types(KernelFacts& facts) { return facts.types().map(bytes_of); }

Result<KeptBytes> isf(KernelFacts& facts) { return facts.isf().map(kept); }

std::size_t isf_bytes(const KernelFacts& facts) { return facts.isf_bytes(); }

std::size_t types_bytes(const KernelFacts& facts) { return facts.types_bytes(); }

std::size_t symbol_bytes(const KernelFacts& facts) { return facts.symbol_map_bytes(); }

std::size_t kallsyms_bytes(const KernelFacts& facts) { return facts.kallsyms_bytes(); }

// The modules that have types, each a file.

/// The list of a moment ago needs no proof that the kernel still runs: that comes when a file is opened. As
/// long as no kernel was found there is no list, so a name is waited for.
Result<std::shared_ptr<KernelFacts>> facts_with_modules(LinuxGuest& guest) {
  auto known = guest.known();
  if (known == nullptr) {
    return guest.kernel();
  }
  return known->knows_modules() ? known : guest.kernel_to_list();
}

std::vector<std::string> module_names(Vm& vm) {
  LinuxGuest& guest = *vm.guest().linux_guest();
  const auto modules =
      facts_with_modules(guest).and_then([](const auto& facts) { return facts->modules_with_types(); });
  std::vector<std::string> names;
  for (const ModuleTypes& module : modules.value_or(std::vector<ModuleTypes>{})) {
    if (guest.may_show(module.name)) {
      names.push_back(module.name);
    }
  }
  return names;
}

VmNode module_types(const std::string& name) {
  return linux_bytes(
      {.make = [name](KernelFacts& facts) { return facts.module_types(name).map(bytes_of); },
       .known_bytes = [name](const KernelFacts& facts) { return facts.module_types_bytes(name); }});
}

// What a listing shows, after the texts, the first of which searches.

bool has_symbols(Vm& vm) {
  const auto facts = vm.guest().linux_guest()->known();
  return facts != nullptr && facts->symbols().has_value();
}

/// Reads those of modules, so that a listing has the size.
bool has_kallsyms(Vm& vm) {
  const auto facts = vm.guest().linux_guest()->known();
  return facts != nullptr && (facts->kallsyms_bytes() > 0 || facts->module_symbols().has_value());
}

/// The kernel's file is of no use without symbols of data, as those of Volatility.
bool has_data_symbols(Vm& vm) {
  const auto facts = vm.guest().linux_guest()->known();
  return facts != nullptr && facts->has_data_symbols().has_value();
}

bool has_types_and_data(Vm& vm) {
  const auto facts = vm.guest().linux_guest()->known();
  return facts != nullptr && facts->types().has_value() && facts->has_data_symbols().has_value();
}

bool has_types(Vm& vm) {
  const auto facts = vm.guest().linux_guest()->known();
  return facts != nullptr && facts->types().has_value();
}

} // namespace

VmTable linux_table() {
  using enum TextSize::Varies;
  return {
      {"info", info_file()},
      {"banner", Banner::node(seldom), nullptr, Banner::is_found},
      {"vmcoreinfo", VmcoreinfoText::node(seldom), nullptr, VmcoreinfoText::is_present},
      {"dmesg", Dmesg::node(always), nullptr, Dmesg::is_present},
      {"ps", Processes::node(always), nullptr, Processes::is_present},
      {"modules", Modules::node(always), nullptr, Modules::is_present},
      {"mounts", Mounts::node(always), nullptr, Mounts::is_present},
      {"sockets", Sockets::node(always), nullptr, Sockets::is_present},
      {"System.map", linux_bytes({system_map, symbol_bytes}), nullptr, has_symbols},
      {"kallsyms", linux_bytes({kallsyms, kallsyms_bytes}), nullptr, has_kallsyms},
      {"btf",
       vm_directory({{"vmlinux", linux_bytes({kernel_types, types_bytes})}}, {module_names, module_types}),
       nullptr, has_types},
      // Volatility goes by the banner within, not by the name, and wants the directory `linux`.
      {"symbols", vm_directory({{"linux", vm_directory({{"kernel.json", linux_bytes({isf, isf_bytes})}})}}),
       nullptr, has_types_and_data},
      {"vmlinux", vmlinux_file(), nullptr, has_data_symbols},
  };
}

} // namespace vmemfs
