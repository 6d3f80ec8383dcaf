// SPDX-License-Identifier: MIT OR GPL-2.0-only
// BPF program that lists the VMs of KVM and their memory slots: it is called for each open file of the
// processes that the iterator visits.
//
// Only reads; nothing of the VM or its process is held up. What it reads may change meanwhile: a record may
// then be wrong, which the generation of the slots tells.
// clang-format off
#include "drivers/kvm/bpf/kernel_types.h" // first: the helpers' own header uses its types
#include <bpf/bpf_helpers.h>
// clang-format on
#include "drivers/kvm/bpf/vm_records.h"

#include <bpf/bpf_core_read.h>

#define ANON_INODE_FS_MAGIC 0x09041934
/// A balanced tree of 32,768 slots, KVM's limit, is at most 30 deep.
#define MAX_DEPTH 32

char LICENSE[] SEC("license") = "Dual MIT/GPL";

struct vm_walk_request request;

struct slot_walk {
  struct seq_file* seq;
  struct kvm* vm;
  struct kvm_memslots* slots;
  __u64 next_gfn;
  __u32 done;
};

static struct kvm_memory_slot* slot_of(struct rb_node* node, int index) {
  __u64 offset = bpf_core_field_offset(struct kvm_memory_slot, gfn_node);
  if (index != 0) {
    offset += bpf_core_type_size(struct rb_node);
  }
  return (void*)node - offset;
}

/// The first slot that begins at `gfn` or above. Searched from the root each time: a node of before may have
/// been freed.
static struct kvm_memory_slot* find_slot(struct kvm_memslots* slots, __u64 gfn) {
  const int index = BPF_CORE_READ(slots, node_idx);
  struct rb_node* node = BPF_CORE_READ(slots, gfn_tree.rb_node);
  struct kvm_memory_slot* best = 0;
  for (int depth = 0; depth < MAX_DEPTH && node; ++depth) {
    struct kvm_memory_slot* slot = slot_of(node, index);
    if (BPF_CORE_READ(slot, base_gfn) >= gfn) {
      best = slot;
      node = BPF_CORE_READ(node, rb_left);
    } else {
      node = BPF_CORE_READ(node, rb_right);
    }
  }
  return best;
}

/// 1: there are no more.
static long write_next_slot(__u32 index, void* context) {
  (void)index;
  struct slot_walk* walk = context;
  struct kvm_memory_slot* slot = find_slot(walk->slots, walk->next_gfn);
  if (!slot) {
    walk->done = 1;
    return 1;
  }
  struct vm_record_slot record = {
      .header = {VM_RECORD_SLOT, sizeof(record), (__u64)walk->vm},
      .gfn = BPF_CORE_READ(slot, base_gfn),
      .pages = BPF_CORE_READ(slot, npages),
      .hva = BPF_CORE_READ(slot, userspace_addr),
      .flags = BPF_CORE_READ(slot, flags),
      .id = BPF_CORE_READ(slot, id),
      .address_space = BPF_CORE_READ(slot, as_id),
  };
  bpf_seq_write(walk->seq, &record, sizeof(record));
  walk->next_gfn = record.gfn + 1;
  return walk->next_gfn == 0;
}

static void write_slots(struct seq_file* seq, struct kvm* vm, struct kvm_memslots* slots) {
  struct slot_walk walk = {.seq = seq, .vm = vm, .slots = slots, .next_gfn = request.from_gfn};
  bpf_loop(VM_SLOTS_OF_A_WALK, write_next_slot, &walk, 0);
  struct kvm_memslots* after = BPF_CORE_READ(vm, memslots[0]);
  struct vm_record_end record = {
      .header = {VM_RECORD_END, sizeof(record), (__u64)vm},
      .generation = BPF_CORE_READ(after, generation),
      .next_gfn = walk.next_gfn,
      .complete = walk.done,
      .same_slots = after == slots,
  };
  bpf_seq_write(seq, &record, sizeof(record));
}

/// Once a VM, as long as the files of one VM follow each other.
static void write_vm(struct seq_file* seq, struct task_struct* task, struct kvm* vm) {
  const __u32 process = BPF_CORE_READ(task, tgid);
  if (request.last_vm == (__u64)vm && request.last_process == process) {
    return;
  }
  request.last_vm = (__u64)vm;
  request.last_process = process;
  struct kvm_memslots* slots = BPF_CORE_READ(vm, memslots[0]);
  struct vm_record_vm record = {
      .header = {VM_RECORD_VM, sizeof(record), (__u64)vm},
      .generation = BPF_CORE_READ(slots, generation),
      .process = process,
  };
  bpf_seq_write(seq, &record, sizeof(record));
  if (request.vm == (__u64)vm && !request.slots_done) {
    request.slots_done = 1;
    write_slots(seq, vm, slots);
  }
}

static void write_vcpu(struct seq_file* seq, struct kvm_vcpu* vcpu, struct kvm* vm) {
  struct pid* thread = BPF_CORE_READ(vcpu, pid);
  struct vm_record_vcpu record = {
      .header = {VM_RECORD_VCPU, sizeof(record), (__u64)vm},
      .id = BPF_CORE_READ(vcpu, vcpu_id),
      .thread = thread ? BPF_CORE_READ(thread, numbers[0].nr) : 0,
  };
  bpf_seq_write(seq, &record, sizeof(record));
}

static int begins_with(const char* text, const char* start, int size) {
  for (int i = 0; i < size; ++i) {
    if (text[i] != start[i]) {
      return 0;
    }
  }
  return 1;
}

SEC("iter/task_file")
int list_vms(struct bpf_iter__task_file* context) {
  struct file* file = context->file;
  struct task_struct* task = context->task;
  if (!file || !task) {
    return 0;
  }
  // Only the kernel names files of this filesystem; a file of another one may be called kvm-vm by anybody.
  if (BPF_CORE_READ(file, f_inode, i_sb, s_magic) != ANON_INODE_FS_MAGIC) {
    return 0;
  }
  char name[16] = {};
  bpf_probe_read_kernel_str(name, sizeof(name), BPF_CORE_READ(file, f_path.dentry, d_name.name));
  const int is_vm = begins_with(name, "kvm-vm", sizeof("kvm-vm"));
  const int is_vcpu = begins_with(name, "kvm-vcpu:", sizeof("kvm-vcpu:") - 1);
  if (!is_vm && !is_vcpu) {
    return 0;
  }
  struct seq_file* seq = context->meta->seq;
  void* opened = BPF_CORE_READ(file, private_data);
  // A program may close the file of its VM and keep those of the vCPUs.
  struct kvm* vm = is_vm ? opened : BPF_CORE_READ((struct kvm_vcpu*)opened, kvm);
  // A process that got the file from another one has no memory of the VM.
  if (BPF_CORE_READ(vm, mm) != BPF_CORE_READ(task, mm)) {
    return 0;
  }
  write_vm(seq, task, vm);
  if (is_vcpu && request.vm == (__u64)vm) {
    write_vcpu(seq, opened, vm);
  }
  return 0;
}
