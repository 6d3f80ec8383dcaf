/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/*
 * The few fields of the kernel's own structures that the programs read.
 *
 * Offsets are not those of this file: the loader takes them from the type information of the running kernel
 * (CO-RE), so that one object fits all kernels that have these fields.
 */
#ifndef VMEMFS_KERNEL_TYPES_H
#define VMEMFS_KERNEL_TYPES_H

typedef unsigned char __u8;
typedef unsigned short __u16;
typedef unsigned int __u32;
typedef unsigned long long __u64;
typedef signed char __s8;
typedef short __s16;
typedef int __s32;
typedef long long __s64;
/* Only named in declarations of helpers that are not used here. */
typedef __u16 __be16;
typedef __u32 __be32;
typedef __u32 __wsum;
typedef __u64 __be64;

enum bpf_map_type { BPF_MAP_TYPE_UNSPEC };

#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)

struct mm_struct;
struct seq_file;

struct task_struct {
  struct mm_struct* mm;
  int tgid;
};

struct qstr {
  const unsigned char* name;
};

struct dentry {
  struct qstr d_name;
};

struct path {
  struct dentry* dentry;
};

struct super_block {
  unsigned long s_magic;
};

struct inode {
  struct super_block* i_sb;
};

struct file {
  void* private_data;
  struct inode* f_inode;
  struct path f_path;
};

struct bpf_iter_meta {
  struct seq_file* seq;
};

struct bpf_iter__task_file {
  struct bpf_iter_meta* meta;
  struct task_struct* task;
  struct file* file;
};

struct upid {
  int nr;
};

struct pid {
  struct upid numbers[1];
};

struct rb_node {
  unsigned long __rb_parent_color;
  struct rb_node* rb_right;
  struct rb_node* rb_left;
};

struct rb_root {
  struct rb_node* rb_node;
};

struct kvm_memory_slot {
  struct rb_node gfn_node[2];
  __u64 base_gfn;
  unsigned long npages;
  unsigned long userspace_addr;
  __u32 flags;
  short id;
  __u16 as_id;
};

struct kvm_memslots {
  __u64 generation;
  struct rb_root gfn_tree;
  int node_idx;
};

struct kvm {
  struct mm_struct* mm;
  struct kvm_memslots* memslots[1];
};

struct kvm_vcpu {
  struct kvm* kvm;
  int vcpu_id;
  struct pid* pid;
};

#pragma clang attribute pop

#endif
