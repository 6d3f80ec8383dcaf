// SPDX-License-Identifier: MIT
// A Linux kernel with all that proves it, in the memory of a fake guest.
#pragma once

#include "core/gpa.h"
#include "linux/kallsyms_builder.h"
#include "linux/made_types.h"
#include "vm/vm_fixture.h"

#include <cstddef>
#include <cstdint>
#include <fmt/format.h>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace vmemfs::test {

struct MadeKernelOptions {
  bool all_symbols = true; ///< CONFIG_KALLSYMS_ALL
  bool types = true;       ///< CONFIG_DEBUG_INFO_BTF
  bool five_levels = false;
  bool aarch64 = false; ///< with 4 KiB pages and 48 bits
  unsigned tasks = 16;
};

/// Takes the 16 MiB from `base`, which is a multiple of 2 MiB. Its image has 4 MiB, with the symbols first,
/// the data in the second half and the page tables as last page. All kernels have the same virtual addresses.
class MadeKernel {
public:
  static constexpr std::uint64_t kAddress = KallsymsBuilder::kImage;
  static constexpr std::uint64_t kDirectMap = 0xffff8c0000000000;
  /// Its function stop_this_cpu(), and how long that is.
  static constexpr std::uint64_t kStopFunction = kAddress + 0x1'0100;
  static constexpr std::uint64_t kStopBytes = 0x40;

  MadeKernel(FakeDriver& fake, std::uint64_t base, const MadeKernelOptions& options = {})
      : fake_{fake}, base_{base}, options_{options} {
    write_page_tables();
    write_symbols();
    write_names();
    write_tasks();
    write_vmcoreinfo(page());
    write(in_memory(kVmcoreinfoData), direct(page()));
  }

  [[nodiscard]] std::uint64_t page() const { return base_ + 12 * kMiB; }
  [[nodiscard]] std::uint64_t image() const { return base_; }
  /// Guest physical addresses.
  [[nodiscard]] std::uint64_t task(unsigned index) const { return base_ + 9 * kMiB + index * kPageSize; }
  [[nodiscard]] std::uint64_t vmcoreinfo_data() const { return in_memory(kVmcoreinfoData); }
  [[nodiscard]] std::uint64_t idle_task() const { return in_memory(kInitTask); }
  [[nodiscard]] std::uint64_t types() const { return in_memory(kTypes); }
  [[nodiscard]] std::uint64_t banner() const { return in_memory(kBanner); }
  [[nodiscard]] std::uint64_t release() const { return in_memory(kNames) + 4 + 130; }
  [[nodiscard]] std::uint64_t root() const { return in_memory(kSwapper); } ///< of its page tables
  [[nodiscard]] std::uint64_t image_entries() const { return base_ + 8 * kMiB + 2 * kPageSize; }

  void write(std::uint64_t gpa, std::uint64_t value) { put(gpa, std::as_bytes(std::span{&value, 1})); }
  void write_vmcoreinfo(std::uint64_t gpa) {
    const std::string place =
        options_.aarch64 ? fmt::format("PAGESIZE=4096\nNUMBER(VA_BITS)=52\nNUMBER(TCR_EL1_T1SZ)=0x10\n"
                                       "NUMBER(kimage_voffset)={:#x}\n",
                                       kAddress - base_)
                         : fmt::format("NUMBER(phys_base)={}\nNUMBER(pgtable_l5_enabled)={}\n",
                                       static_cast<std::int64_t>(base_ - (kAddress - 0xffffffff80000000)),
                                       options_.five_levels ? 1 : 0);
    put(gpa, fmt::format("OSRELEASE=6.1.0\nSYMBOL(init_uts_ns)={:x}\nSYMBOL(swapper_pg_dir)={:x}\n"
                         "SYMBOL(_stext)={:x}\n{}",
                         kNames, kSwapper, kAddress, place) +
                 '\0');
  }

private:
  static constexpr std::uint64_t kMiB = std::uint64_t{1} << 20U;
  static constexpr std::uint64_t kData = kAddress + 2 * kMiB;
  static constexpr std::uint64_t kBanner = kData;
  static constexpr std::uint64_t kNames = kData + 0x1000;
  static constexpr std::uint64_t kVmcoreinfoData = kData + 0x2000;
  static constexpr std::uint64_t kInitTask = kData + 0x3000;
  static constexpr std::uint64_t kTypes = kData + 0x4000;
  static constexpr std::uint64_t kSwapper = kAddress + 4 * kMiB - kPageSize;

  [[nodiscard]] std::uint64_t in_memory(std::uint64_t address) const { return base_ + (address - kAddress); }
  [[nodiscard]] static std::uint64_t direct(std::uint64_t gpa) { return kDirectMap + gpa; }

  void put(std::uint64_t gpa, std::span<const std::byte> bytes) {
    static_cast<void>(fake_.guest_writes(Gpa{gpa}, bytes));
  }
  void put(std::uint64_t gpa, std::string_view text) { put(gpa, std::as_bytes(std::span{text})); }

  void write_page_tables() {
    // Both architectures have tables of the same form, with other bits in their entries.
    const std::uint64_t table_bits = options_.aarch64 ? 3 : 1;
    const std::uint64_t large_bits = options_.aarch64 ? 1 : 0x81;
    const std::uint64_t image_tables = base_ + 8 * kMiB;
    const std::uint64_t direct_tables = image_tables + kPageSize;
    const std::uint64_t level4 = image_tables + 3 * kPageSize;
    for (const std::uint64_t table : {root(), image_tables, direct_tables, image_entries(), level4}) {
      put(table, std::string(kPageSize, '\0'));
    }
    const std::uint64_t top = options_.five_levels ? level4 : root();
    if (options_.five_levels) {
      write(root() + 511 * 8, level4 | table_bits);
    }
    write(top + 280 * 8, direct_tables | table_bits);
    write(top + 511 * 8, image_tables | table_bits);
    write(image_tables + 510 * 8, image_entries() | table_bits);
    constexpr std::uint64_t kFirst = (kAddress >> 21U) & 511U;
    write(image_entries() + kFirst * 8, base_ | large_bits);
    write(image_entries() + (kFirst + 1) * 8, (base_ + 2 * kMiB) | large_bits);
    write(direct_tables, 0 | large_bits);
  }

  void write_symbols() {
    auto symbols = many_symbols(false);
    symbols.push_back({kStopFunction, 'T', "stop_this_cpu"});
    symbols.push_back({kStopFunction + kStopBytes, 'T', "behind_it"});
    const auto parsed = Made::types();
    const auto types = parsed->bytes();
    if (options_.all_symbols) {
      symbols.push_back({kBanner, 'D', "linux_banner"});
      symbols.push_back({kVmcoreinfoData, 'B', "vmcoreinfo_data"});
      symbols.push_back({kInitTask, 'D', "init_task"});
    }
    if (options_.all_symbols && options_.types) {
      symbols.push_back({kTypes, 'D', "__start_BTF"});
      symbols.push_back({kTypes + types.size(), 'D', "__stop_BTF"});
    }
    if (options_.types) {
      put(in_memory(kTypes), types);
    }
    put(base_, KallsymsBuilder{KallsymsLayout::v6_18, std::move(symbols)}.bytes());
  }

  void write_names() {
    put(in_memory(kBanner), std::string{"Linux version 6.1.0 (who@where) #1 (made)\n"} + '\0');
    put(in_memory(kNames), std::string(512, '\0'));
    put(in_memory(kNames) + 4, "Linux");
    put(in_memory(kNames) + 4 + 65, "host");
    put(release(), "6.1.0");
    put(release() + 65, "#1 (made)");
  }

  /// Members as Made has them.
  void write_task(std::uint64_t gpa, std::uint64_t address, std::uint32_t pid, std::string_view comm) {
    put(gpa, std::string(128, '\0'));
    write(gpa + 16, std::uint64_t{pid} << 32U | pid);
    put(gpa + 24, comm);
    write(gpa + 56, kInitTask);
    write(gpa + 64, address);
  }
  void write_tasks() {
    write_task(in_memory(kInitTask), kInitTask, 0, "swapper/0");
    std::uint64_t before = kInitTask;
    std::uint64_t gpa_before = in_memory(kInitTask);
    for (unsigned i = 0; i < options_.tasks; ++i) {
      write_task(task(i), direct(task(i)), i + 1, "made");
      write(gpa_before, direct(task(i)));
      write(task(i) + 8, before);
      before = direct(task(i));
      gpa_before = task(i);
    }
    write(gpa_before, kInitTask);
    write(in_memory(kInitTask) + 8, before);
  }

  FakeDriver& fake_;
  const std::uint64_t base_;
  const MadeKernelOptions options_;
};

} // namespace vmemfs::test
