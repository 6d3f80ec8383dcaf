// SPDX-License-Identifier: MIT
// VMCOREINFO: the text in which a Linux kernel describes itself for whoever reads its memory, a page of lines
// `KEY=VALUE`.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace vmemfs {

/// Max size of the text; the kernel has a page for it.
inline constexpr std::size_t kMaxVmcoreinfo = 4096;

/// The text begins with this, at the begin of a page.
inline constexpr std::string_view kVmcoreinfoBegin = "OSRELEASE=";

/// The text comes from the guest, so it can say anything.
struct Vmcoreinfo {
  std::string text;             ///< all of it, with its last newline
  std::uint64_t swapper_pg_dir; ///< virtual address of the kernel's page tables
  /// Virtual address of the first byte of code, if it says so.
  std::optional<std::uint64_t> stext{};
  /// Of the kernel, such as "6.1.0-53-cloud-amd64"; empty if it does not say.
  std::string release{};
  /// Hex digits; empty if it does not say.
  std::string build_id{};
  /// How far KASLR moved the kernel in virtual memory.
  std::optional<std::uint64_t> kaslr_offset{};
  /// x86-64: how far the kernel lies from where it was linked for, in physical memory.
  std::optional<std::int64_t> phys_base{};
  /// x86-64: its page tables have five levels.
  bool five_levels = false;
  /// aarch64: virtual less physical addresses of the kernel's image.
  std::optional<std::uint64_t> kimage_voffset{};
  /// Of a page, in bytes.
  std::optional<std::uint64_t> page_bytes{};

  /// The values of lines such as `SYMBOL(prb)=ffffffff9265b2d0`, `SIZE(printk_info)=88` and
  /// `OFFSET(printk_info.seq)=0`. nullopt: there is no such line.
  [[nodiscard]] std::optional<std::uint64_t> symbol(std::string_view name) const;
  [[nodiscard]] std::optional<std::uint64_t> size(std::string_view type) const;
  [[nodiscard]] std::optional<std::uint64_t> offset(std::string_view member) const;
  /// Of a line such as `NUMBER(VA_BITS)=48` or `NUMBER(TCR_EL1_T1SZ)=0x10`.
  [[nodiscard]] std::optional<std::uint64_t> number(std::string_view name) const;
};

/// `page`: memory from the begin of a page, at most kMaxVmcoreinfo bytes of which are read. nullopt: there is
/// no such text.
[[nodiscard]] std::optional<Vmcoreinfo> parse_vmcoreinfo(std::string_view page);

} // namespace vmemfs
