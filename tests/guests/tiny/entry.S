/* SPDX-License-Identifier: MIT
 *
 * Entry and main loop. The loop is assembler so that r12..r15 hold what
 * layout.h says at every instruction; the C code is compiled with these four
 * registers forbidden.
 */
#include "layout.h"

#define CODE_SELECTOR 0x08
#define DATA_SELECTOR 0x10

#define CR0_PE_ET 0x11
#define CR0_PG 0x80000000
#define CR4_PAE 0x20
#define MSR_EFER 0xc0000080
#define EFER_LME 0x100

#define PRESENT_WRITABLE 0x03
#define LARGE_PAGE 0x80

#define LAPIC_EOI 0xfee000b0

/* QEMU takes the 32-bit entry point from this note (the PVH boot protocol). */
    .section .note.pvh, "a", @note
    .balign 4
    .long 4                     /* size of the name */
    .long 8                     /* size of the value */
    .long 18                    /* XEN_ELFNOTE_PHYS32_ENTRY */
    .asciz "Xen"
    .quad start32

    .section .rodata
    .balign 8
gdt:
    .quad 0
    .quad 0x00af9b000000ffff    /* 64-bit code */
    .quad 0x00cf93000000ffff    /* data */
gdt_end:
gdt_pointer:
    .word gdt_end - gdt - 1
    .long gdt

name_echo: .asciz "echo"
name_code: .asciz "code"
name_r12: .asciz "r12"
name_r13: .asciz "r13"
name_r14: .asciz "r14"
name_r15: .asciz "r15"

    .bss
    .balign 16
    .skip 16384
stack_top:

    .text

/* 32-bit protected mode, paging off, ebx = hvm_start_info. */
    .code32
    .globl start32
start32:
    cli
    cld
    lgdt gdt_pointer

    movl $TG_CR3, %edi
    xorl %eax, %eax
    movl $((2 + TG_MAP_GIB) * 4096 / 4), %ecx
    rep stosl

    movl $(TG_PDPT_GPA | PRESENT_WRITABLE), TG_CR3

    movl $TG_PDPT_GPA, %edi
    movl $(TG_PD_GPA | PRESENT_WRITABLE), %eax
    movl $TG_MAP_GIB, %ecx
1:  movl %eax, (%edi)
    addl $4096, %eax
    addl $8, %edi
    loop 1b

    movl $TG_PD_GPA, %edi
    movl $(LARGE_PAGE | PRESENT_WRITABLE), %eax
    xorl %edx, %edx
    movl $(TG_MAP_GIB * 512), %ecx
1:  movl %eax, (%edi)
    movl %edx, 4(%edi)
    addl $0x200000, %eax
    adcl $0, %edx
    addl $8, %edi
    loop 1b

    movl $CR4_PAE, %eax
    movl %eax, %cr4
    movl $TG_CR3, %eax
    movl %eax, %cr3
    movl $MSR_EFER, %ecx
    rdmsr
    orl $EFER_LME, %eax
    wrmsr
    movl $(CR0_PG | CR0_PE_ET), %eax
    movl %eax, %cr0
    ljmpl $CODE_SELECTOR, $start64

    .code64
start64:
    movl $DATA_SELECTOR, %eax
    movl %eax, %ds
    movl %eax, %es
    movl %eax, %ss
    movl %eax, %fs
    movl %eax, %gs

    /* After a reset the old contents would still be there. */
    movl $bss_start, %edi
    movl $bss_end, %ecx
    subl %edi, %ecx
    xorl %eax, %eax
    rep stosb

    movl $stack_top, %esp
    movabsq $TG_R12, %r12
    movabsq $TG_R13, %r13
    movabsq $TG_R14, %r14
    movabsq $TG_R15, %r15
    movabsq $TG_DR0, %rax
    movq %rax, %dr0
    movl %ebx, %edi
    call guest_main

/* rax = the value now; reports it when it is not the one last seen. */
.macro report_if_changed name, seen
    cmpq TG_INFO_GPA + \seen, %rax
    je 8f
    movq %rax, TG_INFO_GPA + \seen
    movl $\name, %edi
    movq %rax, %rsi
    call report_change
8:
.endm

    .globl main_loop
main_loop:
    cmpl $0, idle_mode
    je 1f
    sti
    hlt
    cli
1:
    incq TG_INFO_GPA + TG_INFO_OFF_COUNTER
    movq TG_INFO_GPA + TG_INFO_OFF_ECHO, %rax
    report_if_changed name_echo, TG_INFO_OFF_SEEN_ECHO
    call patchable
    report_if_changed name_code, TG_INFO_OFF_SEEN_CODE
    movq %r12, %rax
    report_if_changed name_r12, TG_INFO_OFF_SEEN_R12
    movq %r13, %rax
    report_if_changed name_r13, TG_INFO_OFF_SEEN_R13
    movq %r14, %rax
    report_if_changed name_r14, TG_INFO_OFF_SEEN_R14
    movq %r15, %rax
    report_if_changed name_r15, TG_INFO_OFF_SEEN_R15
    jmp main_loop

/* The timer only has to end the hlt above. */
    .globl on_timer
on_timer:
    pushq %rax
    movl $LAPIC_EOI, %eax
    movl $0, (%rax)
    popq %rax
    iretq

/* A spurious interrupt must not be acknowledged. */
    .globl on_spurious
on_spurious:
    iretq

/* Any exception, most likely from patched code. The stack is 16-byte aligned
 * again so that the C code may rely on it. */
    .globl on_fault
on_fault:
    andq $-16, %rsp
    call report_fault
1:  hlt
    jmp 1b

    .section .patchable, "ax", @progbits
    .globl patchable, patchable_gpa
    .set patchable_gpa, TG_CODE_GPA
patchable:
    .byte 0x66, 0x0f, 0x1f, 0x44, 0x00, 0x00
    movabsq $TG_CODE_VALUE, %rax
    ret
    .if . - patchable != 17
    .error "the immediate is not at TG_CODE_IMM_GPA"
    .endif

    .section .note.GNU-stack, "", @progbits
