// SPDX-License-Identifier: MIT
#include "linux/printk/ring_layout.h"

#include <fmt/format.h>
#include <initializer_list>
#include <optional>
#include <string_view>

namespace vmemfs {
namespace {

/// Looks up keys and remembers the first that is absent.
class Keys {
public:
  explicit Keys(const Vmcoreinfo& info) : info_{info} {}

  std::uint64_t symbol(std::string_view name) { return known(info_.symbol(name), name); }
  std::size_t size(std::string_view type) { return known(info_.size(type), type); }
  std::size_t offset(std::string_view member) { return known(info_.offset(member), member); }

  [[nodiscard]] std::string_view missing() const { return missing_; }

private:
  std::uint64_t known(std::optional<std::uint64_t> value, std::string_view name) {
    if (!value && missing_.empty()) {
      missing_ = name;
    }
    return value.value_or(0);
  }

  const Vmcoreinfo& info_;
  std::string_view missing_;
};

/// Offsets in the structures that lead to the arrays.
struct Outer {
  std::uint64_t prb;
  std::size_t descriptor_ring;
  std::size_t data_ring;
  std::size_t count_bits;
  std::size_t descriptors;
  std::size_t infos;
  std::size_t head;
  std::size_t tail;
  std::size_t data_bits;
  std::size_t data;
};

Outer outer_of(Keys& keys) {
  return {.prb = keys.symbol("prb"),
          .descriptor_ring = keys.offset("printk_ringbuffer.desc_ring"),
          .data_ring = keys.offset("printk_ringbuffer.text_data_ring"),
          .count_bits = keys.offset("prb_desc_ring.count_bits"),
          .descriptors = keys.offset("prb_desc_ring.descs"),
          .infos = keys.offset("prb_desc_ring.infos"),
          .head = keys.offset("prb_desc_ring.head_id"),
          .tail = keys.offset("prb_desc_ring.tail_id"),
          .data_bits = keys.offset("prb_data_ring.size_bits"),
          .data = keys.offset("prb_data_ring.data")};
}

RingLayout::Descriptor descriptor_of(Keys& keys) {
  const std::size_t position = keys.offset("prb_desc.text_blk_lpos");
  return {.size = keys.size("prb_desc"),
          .state = keys.offset("prb_desc.state_var"),
          .begin = position + keys.offset("prb_data_blk_lpos.begin"),
          .next = position + keys.offset("prb_data_blk_lpos.next")};
}

RingLayout::Info info_of(Keys& keys) {
  return {.size = keys.size("printk_info"),
          .sequence = keys.offset("printk_info.seq"),
          .time = keys.offset("printk_info.ts_nsec"),
          .text_length = keys.offset("printk_info.text_len")};
}

/// Whether 8 bytes at each offset lie within a structure of acceptable size.
bool fits(std::size_t size, std::initializer_list<std::size_t> offsets) {
  bool all = size >= sizeof(std::uint64_t) && size <= RingLayout::kMaxStructure;
  for (const std::size_t offset : offsets) {
    all = all && offset <= size - sizeof(std::uint64_t);
  }
  return all;
}

tl::unexpected<Error> nonsense() {
  return fail(ErrorKind::no_data, "linux", "what the kernel says of its log makes no sense");
}

} // namespace

Result<RingLayout> ring_layout(KernelMemory& memory, const Vmcoreinfo& info) {
  Keys keys{info};
  const Outer outer = outer_of(keys);
  RingLayout layout{};
  layout.descriptor = descriptor_of(keys);
  layout.info = info_of(keys);
  if (!keys.missing().empty()) {
    return fail(ErrorKind::no_data, "linux",
                fmt::format("cannot read the kernel's log: its VMCOREINFO does not have {}", keys.missing()));
  }
  const auto& [descriptor_size, state, begin, next] = layout.descriptor;
  const auto& [info_size, sequence, time, text_length] = layout.info;
  if (!fits(descriptor_size, {state, begin, next}) || !fits(info_size, {sequence, time, text_length})) {
    return nonsense();
  }
  const auto prb = memory.value<std::uint64_t>(outer.prb);
  const std::uint64_t descriptor_ring = prb.value_or(0) + outer.descriptor_ring;
  const std::uint64_t data_ring = prb.value_or(0) + outer.data_ring;
  const auto count_bits = memory.value<std::uint32_t>(descriptor_ring + outer.count_bits);
  const auto descriptors = memory.value<std::uint64_t>(descriptor_ring + outer.descriptors);
  const auto infos = memory.value<std::uint64_t>(descriptor_ring + outer.infos);
  const auto data_bits = memory.value<std::uint32_t>(data_ring + outer.data_bits);
  const auto data = memory.value<std::uint64_t>(data_ring + outer.data);
  if (!prb || !count_bits || !descriptors || !infos || !data_bits || !data) {
    return fail(ErrorKind::no_data, "linux",
                fmt::format("cannot read the kernel's log at {:#x}", prb.value_or(outer.prb)));
  }
  layout.descriptors = *descriptors;
  layout.infos = *infos;
  layout.data = *data;
  layout.count_bits = *count_bits;
  layout.data_bits = *data_bits;
  layout.head = descriptor_ring + outer.head;
  layout.tail = descriptor_ring + outer.tail;
  if (*count_bits == 0 || *count_bits > RingLayout::kMaxCountBits || *data_bits == 0 ||
      *data_bits > RingLayout::kMaxDataBits) {
    return nonsense();
  }
  return layout;
}

} // namespace vmemfs
