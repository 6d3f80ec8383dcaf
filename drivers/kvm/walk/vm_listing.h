// SPDX-License-Identifier: MIT
// Parser of the records that the BPF program writes in one walk (drivers/kvm/bpf/vm_records.h).
//
// Pure functions, thread-safe. A walk races with the VMs, so the content is not trusted.
#pragma once

#include "core/error.h"
#include "host/hva.h"

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <sys/types.h>
#include <vector>

namespace vmemfs::kvm {

/// Identifies a VM while it exists. It is an address of the kernel: shown to nobody.
using VmKey = std::uint64_t;

struct ListedVm {
  VmKey key = 0;
  pid_t process = 0;            ///< in the first pid namespace
  std::uint64_t generation = 0; ///< of its slots

  friend bool operator==(const ListedVm&, const ListedVm&) = default;
};

/// A memory slot, as KVM has it.
struct Slot {
  std::uint64_t gfn = 0;
  std::uint64_t pages = 0;
  Hva hva = 0;
  std::uint32_t flags = 0; ///< KVM_MEM_... of <linux/kvm.h>
  int id = 0;
  unsigned address_space = 0; ///< 0: that of the guest; 1: that of its system management mode

  friend bool operator==(const Slot&, const Slot&) = default;
};

struct ListedVcpu {
  std::uint32_t id = 0;
  pid_t thread = 0; ///< that ran it last, in the first pid namespace; 0: none yet

  friend auto operator<=>(const ListedVcpu&, const ListedVcpu&) = default;
};

/// The end of the slots of one VM.
struct SlotsEnd {
  std::uint64_t generation = 0;
  std::uint64_t next_gfn = 0; ///< where the next walk continues
  bool complete = false;      ///< there are no more
  bool same_slots = false;    ///< the VM still has the list that was walked

  friend bool operator==(const SlotsEnd&, const SlotsEnd&) = default;
};

struct Listing {
  std::vector<ListedVm> vms; ///< in the order of the walk; each VM of a process once
  // Of the VM whose slots were requested.
  std::vector<Slot> slots; ///< in the order of the walk
  std::optional<SlotsEnd> end;
  std::vector<ListedVcpu> vcpus; ///< sorted, each once
};

/// source_failed: malformed.
[[nodiscard]] Result<Listing> parse_listing(std::span<const std::byte> records);

/// The generation of a VM whose slots are being changed.
[[nodiscard]] constexpr bool is_changing(std::uint64_t generation) { return generation >> 63U != 0; }

} // namespace vmemfs::kvm
