// SPDX-License-Identifier: MIT
#include "tests/drivers/qemu/firmware.h"

// QEMU maps the image at 0xf0000 and below 4 GiB; the vCPU starts at its last 16 bytes, in real mode.
asm(R"(
  .pushsection .rodata
  .balign 16
vmemfs_long_mode_firmware:
  .code16
  cli
  xorw %ax, %ax
  movw %ax, %ds
  movl $0x2003, 0x1000          # page tables at 0x1000, 0x2000, 0x3000: one page of 2 MiB
  movl $0x3003, 0x2000
  movl $0x83, 0x3000
  lgdtl %cs:(.Lgdt_pointer - vmemfs_long_mode_firmware)
  movl $0x20, %eax              # CR4.PAE
  movl %eax, %cr4
  movl $0x1000, %eax
  movl %eax, %cr3
  movl $0xc0000080, %ecx        # EFER.LME
  rdmsr
  orl $0x100, %eax
  wrmsr
  movl %cr0, %eax               # CR0.PG and CR0.PE
  orl $0x80000001, %eax
  movl %eax, %cr0
  ljmpl $8, $0xf0100
.Lgdt_pointer:
  .word 31
  .long 0xf00c0
  .org vmemfs_long_mode_firmware + 0xc0
  .quad 0, 0x00af9a000000ffff, 0x00cf92000000ffff, 0x00cf9a000000ffff
  .org vmemfs_long_mode_firmware + 0x100
  .code64
.Lspin:
  jmp .Lspin
  .org vmemfs_long_mode_firmware + 0x110
.Lcount:
  incq (%rbx)
  jmp .Lcount
  .org vmemfs_long_mode_firmware + 0xfff0
  .code16
  ljmpw $0xf000, $0
  .org vmemfs_long_mode_firmware + 0x10000
  .code64
  .popsection
)");

extern "C" const char vmemfs_long_mode_firmware[0x10000];

namespace vmemfs::qemu {

std::string long_mode_firmware() { return {vmemfs_long_mode_firmware, sizeof(vmemfs_long_mode_firmware)}; }

std::string real_mode_firmware() {
  std::string image(0x10000, '\0');
  image.replace(0xfff0, 5, "\xea\x00\x00\x00\xf0", 5); // jmp f000:0000
  image.replace(0, 2, "\xeb\xfe");                     // jmp to itself
  return image;
}

} // namespace vmemfs::qemu
