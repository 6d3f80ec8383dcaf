/* SPDX-License-Identifier: MIT
 *
 * What both kinds of guest do for ever once they are ready (assembler): count,
 * echo, and sleep 50 ms (SCHEDOP_poll without ports). BASE is the virtual
 * address of guest physical 0.
 */
#include "layout.h"

#define STATUS (BASE + XG_STATUS)
#define SHARED (BASE + XG_SHARED)

#define ELFNOTE(type, desc...) \
  .pushsection .note.Xen, "a", @note; .balign 4; \
  .long 4, 992f-991f, type; .asciz "Xen"; 991: desc; 992: .balign 4; .popsection

.macro RUN hcall
  movabs $XG_RBX, %rbx
  movabs $XG_RBP, %rbp
  movabs $XG_R12, %r12
  movabs $XG_R13, %r13
  movabs $XG_R14, %r14
  movabs $XG_R15, %r15
  movabs $XG_READY, %rax
  mov %rax, STATUS + XG_OFF_MAGIC
3: incq STATUS + XG_OFF_COUNTER
  mov STATUS + XG_OFF_ECHO, %rax
  mov %rax, STATUS + XG_OFF_SEEN_ECHO
  mov %rbx, STATUS + XG_OFF_SEEN_RBX
  rdtsc                         /* now, from vcpu_info[0].time */
  shl $32, %rdx
  or %rdx, %rax
  sub SHARED+40, %rax           /* tsc_timestamp */
  movsbl SHARED+60, %ecx        /* tsc_shift */
  test %ecx, %ecx
  js 4f
  shl %cl, %rax
  jmp 5f
4: neg %ecx
  shr %cl, %rax
5: mov SHARED+56, %edx          /* tsc_to_system_mul */
  mul %rdx
  shrd $32, %rdx, %rax
  add SHARED+48, %rax           /* system_time */
  add $50000000, %rax
  mov %rax, sched_poll+16
  mov $3, %edi                  /* SCHEDOP_poll */
  mov $sched_poll, %esi
  \hcall 29                     /* sched_op */
  jmp 3b
.endm
