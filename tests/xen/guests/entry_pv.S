/* SPDX-License-Identifier: MIT
 *
 * A 64-bit PV guest: fills its frames, publishes its p2m the way Linux does
 * (shared_info.arch.p2m_*), then runs.
 */
#define BASE 0x60000000
#include "run.inc"

ELFNOTE(6, .asciz "vmemfs-lab")         /* GUEST_OS */
ELFNOTE(5, .asciz "xen-3.0")            /* XEN_VERSION */
ELFNOTE(8, .asciz "generic")            /* LOADER */
ELFNOTE(3, .quad BASE)                  /* VIRT_BASE */
ELFNOTE(4, .quad BASE)                  /* PADDR_OFFSET */
ELFNOTE(15, .quad 0x40000000)           /* INIT_P2M: must be below VIRT_BASE */
ELFNOTE(1, .quad _start)                /* ENTRY */
ELFNOTE(2, .quad hypercall_page)        /* HYPERCALL_PAGE */
ELFNOTE(9, .asciz "yes")                /* PAE_MODE */

  .text
  .globl _start
_start:                                 /* rsi = start_info, rsp = boot stack */
  cld
  mov %rsi, %rbp
.macro HCALL nr
  call hypercall_page + 32*\nr
.endm
  mov $SHARED, %edi                     /* map shared_info over our spare page */
  mov 40(%rbp), %rsi
  or $7, %rsi
  mov $2, %edx                          /* UVMF_INVLPG */
  HCALL 14                              /* update_va_mapping */
  mov 104(%rbp), %rbx                   /* mfn_list = p2m. libxenguest 4.17 reads a p2m that
                                         * does not start a 1 GiB slot as empty */
  mov 88(%rbp), %rax                    /* pt_base */
  sub $BASE, %rax
  shr $12, %rax
  mov (%rbx,%rax,8), %rax
  shl $12, %rax
  mov %rax, SHARED+3112                 /* arch.p2m_cr3 */
  mov %rbx, SHARED+3120                 /* arch.p2m_vaddr */
  mov 32(%rbp), %rax
  mov %rax, SHARED+3088                 /* arch.max_pfn = nr_pages */
  mov %rbp, %rdi
  call fill_pv
  RUN HCALL

  .globl map_window                     /* map_window(va, pte) */
map_window:
  push %rbx
  mov $2, %edx
  HCALL 14
  pop %rbx
  ret

  .balign 4096
hypercall_page: .skip 4096
  .data
  .balign 16
sched_poll: .quad 0, 0, 0               /* ports, nr_ports, timeout */
