/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/*
 * Records that the BPF program writes and vmemfs reads: a stream of them, each with a header that says its
 * kind and size. Plain C, because both include it. All numbers are in the byte order of this host.
 */
#ifndef VMEMFS_VM_RECORDS_H
#define VMEMFS_VM_RECORDS_H

#ifndef VMEMFS_KERNEL_TYPES_H
#include <linux/types.h>
#endif

/* NOLINTBEGIN(readability-identifier-naming): names of C */

enum {
  VM_RECORD_VM = 1,   /* a VM that the process owns */
  VM_RECORD_SLOT = 2, /* a memory slot of the VM before; sorted by address */
  VM_RECORD_END = 3,  /* the end of the slots of that VM */
  VM_RECORD_VCPU = 4, /* a vCPU that the process has open; the same one may come several times */
};

/* Slots of one walk: what a program writes for one file has to fit into 32 KiB. */
#define VM_SLOTS_OF_A_WALK 512

struct vm_record_header {
  __u32 kind;
  __u32 size; /* of the record, with this header */
  __u64 vm;   /* the address of struct kvm: identifies the VM while it exists; shown to nobody */
};

struct vm_record_vm {
  struct vm_record_header header;
  __u64 generation; /* goes up with each change of the slots; the highest bit: a change is in progress */
  __u32 process;    /* the owner, numbered in the first pid namespace */
  __u32 unused;
};

struct vm_record_slot {
  struct vm_record_header header;
  __u64 gfn;
  __u64 pages;
  __u64 hva;
  __u32 flags; /* KVM_MEM_... of <linux/kvm.h> */
  __s16 id;
  __u16 address_space;
};

struct vm_record_end {
  struct vm_record_header header;
  __u64 generation; /* read again */
  __u64 next_gfn;   /* where the next walk has to continue */
  __u32 complete;   /* 1: there are no more slots */
  __u32 same_slots; /* 1: the VM still has the list of slots that was walked */
};

struct vm_record_vcpu {
  struct vm_record_header header;
  __u32 id;
  __u32 thread; /* that ran it last, numbered in the first pid namespace; 0: none yet */
};

/* What a walk is to write; the program takes it from its memory. */
struct vm_walk_request {
  __u64 vm;       /* slots of this VM, and the vCPUs of its process; 0: VMs alone */
  __u64 from_gfn; /* slots from here on */
  /* Of the program: what it has written in this walk. */
  __u64 last_vm;
  __u32 last_process;
  __u32 slots_done;
};

/* NOLINTEND(readability-identifier-naming) */

#endif
