// SPDX-License-Identifier: MIT
#include "image/saved/vmware/vmware_state.h"

#include "core/gpa.h"
#include "image/saved/extent_builder.h"
#include "image/saved/vmware/vmware_registers.h"
#include "image/saved/vmware/vmware_tags.h"

#include <fmt/format.h>
#include <map>
#include <string_view>
#include <utility>

namespace vmemfs {
namespace {

tl::unexpected<Error> damaged(std::string text) { return fail(ErrorKind::invalid, "dump", std::move(text)); }

constexpr std::uint64_t kMaxPages = kMaxImageGpa / kPageSize;

void add_problem(VmwareState& state, std::string_view group, std::string_view problem) {
  if (!problem.empty()) {
    state.problem += fmt::format("{}its group '{}' {}", state.problem.empty() ? "" : "; ", group, problem);
  }
}

/// The tags of the group "memory", as far as they are there.
class MemoryTags {
public:
  void add(const VmwareTag& tag, VmwareState& state) {
    if (tag.name == "Memory" && tag.kind != VmwareTag::Kind::value) {
      if (state.memory) {
        several_ = true;
      } else if (tag.size > 0) {
        state.memory = VmwareBlock{tag.offset, tag.size, tag.kind == VmwareTag::Kind::packed_block};
      }
    } else if (tag.kind == VmwareTag::Kind::value) {
      add_number(tag);
    }
  }

  /// Puts the regions into the state.
  Result<void> finish(VmwareState& state) const {
    if (several_) {
      add_problem(state, "memory", "has more than one block of memory, of which the first is shown");
    }
    if (count_ > kMaxVmwareRegions) {
      return damaged(fmt::format("it has {} regions of memory, which is more than {}; the file is damaged",
                                 count_, kMaxVmwareRegions));
    }
    for (std::uint32_t i = 0; i < count_; ++i) {
      const auto found = regions_.find(i);
      const Pages pages = found == regions_.end() ? Pages{} : found->second;
      if (!pages.in_file || !pages.in_guest || !pages.count) {
        return damaged(fmt::format("its list of memory regions lacks region {} of {}; the file is {}", i,
                                   count_, state.memory_is_cut ? "cut off" : "damaged"));
      }
      if (*pages.in_file >= kMaxPages || *pages.in_guest >= kMaxPages || *pages.count >= kMaxPages) {
        return damaged(
            fmt::format("its memory region {} is {:#x} pages from page {:#x} on, beyond all memory; "
                        "the file is damaged",
                        i, *pages.count, *pages.in_guest));
      }
      state.regions.push_back(
          {*pages.in_file * kPageSize, *pages.in_guest * kPageSize, *pages.count * kPageSize});
    }
    return {};
  }

private:
  struct Pages {
    std::optional<std::uint64_t> in_file{};
    std::optional<std::uint64_t> in_guest{};
    std::optional<std::uint64_t> count{};
  };

  void add_number(const VmwareTag& tag) {
    if (tag.name == "regionsCount") {
      count_ = tag.number;
      return;
    }
    const auto index = tag.index(0);
    if (!index || *index >= kMaxVmwareRegions) {
      return;
    }
    if (tag.name == "regionPageNum") {
      regions_[*index].in_file = tag.number;
    } else if (tag.name == "regionPPN") {
      regions_[*index].in_guest = tag.number;
    } else if (tag.name == "regionSize") {
      regions_[*index].count = tag.number;
    }
  }

  std::uint64_t count_ = 0;
  std::map<std::uint32_t, Pages> regions_; ///< by their index
  bool several_ = false;
};

Result<void> read_memory(const SavedFile& file, VmwareState& state) {
  auto tags = VmwareTags::find(file, "memory");
  if (!tags) {
    return damaged(
        "the VMware state has no group 'memory', which says where the guest's memory is; the file is "
        "cut off or damaged");
  }
  MemoryTags memory;
  while (const auto tag = tags->next()) {
    memory.add(*tag, state);
  }
  state.memory_is_cut = !tags->problem().empty();
  add_problem(state, "memory", tags->problem());
  return memory.finish(state);
}

void read_registers(const SavedFile& file, VmwareState& state) {
  auto tags = VmwareTags::find(file, "cpu");
  if (!tags) {
    return; // then there are none, as of other formats
  }
  VmwareRegisters registers;
  while (const auto tag = tags->next()) {
    registers.add(file, *tag);
    state.is_arm = state.is_arm || tag->name == "hv:ttbrEL1";
  }
  add_problem(state, "cpu", tags->problem());
  if (!state.is_arm) {
    state.registers = registers.take();
  }
}

} // namespace

Result<VmwareState> read_vmware_state(const SavedFile& file) {
  VmwareState state;
  if (auto read = read_memory(file, state); !read) {
    return tl::unexpected{std::move(read.error())};
  }
  read_registers(file, state);
  return state;
}

} // namespace vmemfs
