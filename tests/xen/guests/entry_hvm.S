/* SPDX-License-Identifier: MIT
 *
 * A PVH guest: enters long mode, fills its frames, then runs. As a 32-bit
 * multiboot ELF it is also what an HVM domain's QEMU boots.
 */
#define BASE 0
#include "run.inc"
#define GIB_MAPPED 6

ELFNOTE(6, .asciz "vmemfs-lab")
ELFNOTE(18, .quad start32)              /* PHYS32_ENTRY */

  .text
  .code32
  .globl start32
start32:                                /* flat 32-bit, no paging */
  cld
  mov $stack_top, %esp
  lgdt gdtr
  movl $(pdpt + 7), pml4
  mov $pdpt, %edi                       /* a page directory for each GiB */
  mov $(pd + 7), %eax
  mov $GIB_MAPPED, %ecx
1: mov %eax, (%edi)
  add $8, %edi
  add $4096, %eax
  loop 1b
  mov $pd, %edi                         /* 2 MiB pages, identity mapped */
  mov $0x87, %eax
  xor %edx, %edx
  mov $(GIB_MAPPED * 512), %ecx
2: mov %eax, (%edi)
  mov %edx, 4(%edi)
  add $8, %edi
  add $0x200000, %eax
  adc $0, %edx
  loop 2b
  mov %cr4, %eax
  or $0x20, %eax
  mov %eax, %cr4
  mov $pml4, %eax
  mov %eax, %cr3
  mov $0xc0000080, %ecx                 /* EFER: long mode, syscall */
  rdmsr
  or $0x101, %eax
  wrmsr
  mov %cr0, %eax
  or $0x80000001, %eax
  mov %eax, %cr0
  ljmp $8, $start64
  .balign 4
  .long 0x1badb002, 0, -0x1badb002      /* multiboot header */

  .code64
.macro SET_MSR number, value
  mov $\number, %ecx
  movabs $\value, %rax
  mov %rax, %rdx
  shr $32, %rdx
  wrmsr
.endm
start64:
  mov $16, %eax
  mov %eax, %ds; mov %eax, %es; mov %eax, %ss
  SET_MSR 0xc0000081, XG_STAR
  SET_MSR 0xc0000082, XG_LSTAR
  call fill_hvm
.macro HCALL nr
  mov $\nr, %eax
  vmmcall
.endm
  mov $7, %edi                          /* XENMEM_add_to_physmap: shared_info */
  mov $physmap, %esi
  HCALL 12
  RUN HCALL

  .data
  .balign 16
gdt: .quad 0, 0x00af9b000000ffff, 0x00cf93000000ffff
gdtr: .word 23; .long gdt
  .balign 16
physmap: .word 0x7ff0, 0; .long 0; .quad 0, XG_SHARED >> 12
sched_poll: .quad 0, 0, 0
  .bss
  .balign 4096
pml4: .skip 4096
pdpt: .skip 4096
pd: .skip 4096 * GIB_MAPPED
  .skip 4096
stack_top:
