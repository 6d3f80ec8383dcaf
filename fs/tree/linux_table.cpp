// SPDX-License-Identifier: MIT
#include "fs/tree/linux_table.h"

#include "fs/files/linux/kept_file.h"
#include "fs/files/linux/kernel_elf_file.h"
#include "fs/files/linux/linux_info_text.h"
#include "fs/files/text_file.h"
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
#include <memory>
#include <string>
#include <utility>

namespace vmemfs {
namespace {

/// Of a text, from memory that may be far away and say anything.
constexpr std::chrono::seconds kMaxReadTime{10};

Result<LinuxGuest*> linux_of(Vm& vm) {
  if (vm.gone()) {
    return fail(ErrorKind::vm_gone, "fs", "the VM has ended");
  }
  return vm.guest().linux_guest();
}

/// A text that is made at each read from the start.
struct LinuxText {
  Result<std::string> (*make)(LinuxGuest& guest);
  std::size_t usual_bytes; ///< before it was read once
  TextSize::Varies varies;
};

VmNode linux_text(LinuxText text) {
  return vm_file(
      {.open =
           [text](const std::shared_ptr<Vm>& vm, VcpuId /*vcpu*/, const std::shared_ptr<TextSize>& size) {
             return std::make_unique<TextFile>(
                 [vm, make = text.make] {
                   return linux_of(*vm).and_then([make](LinuxGuest* guest) { return make(*guest); });
                 },
                 size);
           },
       .text_bytes =
           [usual = text.usual_bytes](Vm& /*vm*/, const TextSize& size) {
             return size.last_read() > 0 ? size.last_read() : usual;
           },
       .varies = text.varies});
}

/// Bytes that are made when the file is opened, as they may be many: until then the size is 0.
struct LinuxBytes {
  Result<KeptBytes> (*make)(KernelFacts& facts);
  std::size_t (*known_bytes)(const KernelFacts& facts);
};

Result<std::unique_ptr<OpenFile>> open_bytes(const std::shared_ptr<Vm>& vm, const LinuxBytes& bytes) {
  return linux_of(*vm).and_then([&](LinuxGuest* guest) {
    return guest->kernel()
        .and_then([&](const std::shared_ptr<KernelFacts>& facts) { return bytes.make(*facts); })
        .map([&](KeptBytes&& kept) -> std::unique_ptr<OpenFile> {
          guest->note_use();
          return std::make_unique<KeptFile>(guest_of(vm), std::move(kept));
        });
  });
}

VmNode linux_bytes(LinuxBytes bytes) {
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
  return vm_file({.traits = {.guest_memory = true, .waits_to_open = true},
                  .open = [](const std::shared_ptr<Vm>& vm, VcpuId /*vcpu*/,
                             const std::shared_ptr<TextSize>& /*size*/) -> Result<std::unique_ptr<OpenFile>> {
                    return linux_of(*vm).and_then([&](LinuxGuest* guest) {
                      return guest->kernel()
                          .and_then(
                              [](const std::shared_ptr<KernelFacts>& facts) { return facts->vmlinux(); })
                          .map([&](std::shared_ptr<const ElfFile>&& elf) -> std::unique_ptr<OpenFile> {
                            guest->note_use();
                            return std::make_unique<KernelElfFile>(guest_of(vm), std::move(elf));
                          });
                    });
                  },
                  .image_bytes = [](Guest& guest) -> std::uint64_t {
                    const auto facts = guest.linux_guest()->known();
                    return facts != nullptr ? facts->vmlinux_bytes() : 0;
                  }});
}

Result<std::string> dmesg(LinuxGuest& guest) {
  return guest.kernel().and_then([](const std::shared_ptr<KernelFacts>& facts) {
    const WorkLimit limit{WorkLimit::Clock::now() + kMaxReadTime};
    return kernel_log(facts->memory(), facts->kernel().info);
  });
}

/// A list that is read of a running kernel by its symbols and types.
template <Result<std::string> (*list)(const RunningKernel&)> Result<std::string> list_of(LinuxGuest& guest) {
  return guest.kernel().and_then([&](const std::shared_ptr<KernelFacts>& facts) {
    return facts->symbols().and_then([&](const std::shared_ptr<const KernelSymbols>& symbols) {
      return facts->types().and_then([&](const std::shared_ptr<const btf::Types>& types) {
        guest.note_use();
        const WorkLimit limit{WorkLimit::Clock::now() + kMaxReadTime};
        return list({facts->memory(), *symbols, *types, facts->kernel().info});
      });
    });
  });
}

Result<std::string> info(LinuxGuest& guest) { return linux_info_text(guest); }

Result<std::string> banner(LinuxGuest& guest) {
  return guest.kernel().and_then([](const std::shared_ptr<KernelFacts>& facts) {
    return facts->banner().map([](const std::shared_ptr<const std::string>& text) { return *text; });
  });
}

Result<std::string> vmcoreinfo(LinuxGuest& guest) {
  return guest.kernel().map(
      [](const std::shared_ptr<KernelFacts>& facts) { return facts->kernel().info.text; });
}

Result<KeptBytes> system_map(KernelFacts& facts) { return facts.system_map().map(kept); }

Result<KeptBytes> kallsyms(KernelFacts& facts) {
  return facts.symbols().map([](const std::shared_ptr<const KernelSymbols>& symbols) {
    return kept(std::make_shared<const std::string>(symbol_map(*symbols, 0)));
  });
}

Result<KeptBytes> kernel_types(KernelFacts& facts) {
  return facts.types().map([](const std::shared_ptr<const btf::Types>& types) {
    const auto bytes = types->bytes();
    return KeptBytes{types, {reinterpret_cast<const char*>(bytes.data()), bytes.size()}};
  });
}

Result<KeptBytes> isf(KernelFacts& facts) { return facts.isf().map(kept); }

std::size_t isf_bytes(const KernelFacts& facts) { return facts.isf_bytes(); }

std::size_t types_bytes(const KernelFacts& facts) { return facts.types_bytes(); }

std::size_t symbol_bytes(const KernelFacts& facts) { return facts.symbol_map_bytes(); }

// What a listing shows. The first of them searches, the others find what is known then.

bool runs_linux(Vm& vm) { return vm.guest().linux_guest()->kernel().has_value(); }

bool has_kernel(Vm& vm) { return vm.guest().linux_guest()->known() != nullptr; }

bool has_symbols(Vm& vm) {
  const auto facts = vm.guest().linux_guest()->known();
  return facts != nullptr && facts->symbols().has_value();
}

bool has_types(Vm& vm) {
  const auto facts = vm.guest().linux_guest()->known();
  return facts != nullptr && facts->types().has_value();
}

} // namespace

VmTable linux_table() {
  constexpr std::size_t kUsualInfo = 1024;
  constexpr std::size_t kUsualBanner = 192;
  constexpr std::size_t kUsualVmcoreinfo = 3072;
  constexpr std::size_t kUsualList = 4096;
  constexpr std::size_t kUsualDmesg = 65536;
  return {
      {"info", linux_text({info, kUsualInfo, TextSize::Varies::always})},
      {"banner", linux_text({banner, kUsualBanner, TextSize::Varies::seldom}), nullptr, runs_linux},
      {"vmcoreinfo", linux_text({vmcoreinfo, kUsualVmcoreinfo, TextSize::Varies::seldom}), nullptr,
       has_kernel},
      {"dmesg", linux_text({dmesg, kUsualDmesg, TextSize::Varies::always}), nullptr, has_kernel},
      {"ps", linux_text({list_of<process_list>, kUsualList, TextSize::Varies::always}), nullptr, has_types},
      {"modules", linux_text({list_of<module_list>, kUsualList, TextSize::Varies::always}), nullptr,
       has_types},
      {"mounts", linux_text({list_of<mount_list>, kUsualList, TextSize::Varies::always}), nullptr, has_types},
      {"sockets", linux_text({list_of<socket_list>, kUsualList, TextSize::Varies::always}), nullptr,
       has_types},
      {"System.map", linux_bytes({system_map, symbol_bytes}), nullptr, has_symbols},
      {"kallsyms", linux_bytes({kallsyms, symbol_bytes}), nullptr, has_symbols}, // as long: 16 digits in both
      {"btf", vm_directory({{"vmlinux", linux_bytes({kernel_types, types_bytes})}}), nullptr, has_types},
      // Volatility goes by the banner within, not by the name, and wants the directory `linux`.
      {"symbols", vm_directory({{"linux", vm_directory({{"kernel.json", linux_bytes({isf, isf_bytes})}})}}),
       nullptr, has_types},
      {"vmlinux", vmlinux_file(), nullptr, has_symbols},
  };
}

} // namespace vmemfs
