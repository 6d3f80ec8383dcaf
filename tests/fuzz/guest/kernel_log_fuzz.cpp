// SPDX-License-Identifier: MIT
// The log of a guest's kernel: a byte that says which form it has, the bits of its sizes, the numbers of the
// newest and the oldest record, and memory, which repeats over all addresses.
#include "fuzz/fuzz_target.h"
#include "linux/kernel_memory.h"
#include "linux/printk/kernel_log.h"
#include "linux/vmcoreinfo.h"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <string>
#include <string_view>

namespace {

using vmemfs::fuzz::expect;

constexpr std::uint64_t kVariables = 0xffffffff81000000;
constexpr std::uint64_t kMemory = 0xffff888000000000;

template <typename T> T take(std::string_view& text) {
  T number{};
  const std::size_t size = std::min(text.size(), sizeof number);
  std::copy_n(text.begin(), size, reinterpret_cast<char*>(&number));
  text.remove_prefix(size);
  return number;
}

/// The variables and the structure of the ring, at kVariables; offsets as in `kRing` below.
struct Variables {
  std::uint64_t prb = kVariables;
  std::uint32_t count_bits = 0;
  std::uint32_t data_bits = 0;
  std::uint64_t descriptors = kMemory;
  std::uint64_t infos = kMemory;
  std::uint64_t data = kMemory;
  std::uint64_t head = 0;
  std::uint64_t tail = 0;
};

constexpr std::string_view kRing =
    "OSRELEASE=6.1.0\nSYMBOL(prb)=ffffffff81000000\n"
    "OFFSET(printk_ringbuffer.desc_ring)=0\nOFFSET(printk_ringbuffer.text_data_ring)=0\n"
    "OFFSET(prb_desc_ring.count_bits)=8\nOFFSET(prb_desc_ring.descs)=16\nOFFSET(prb_desc_ring.infos)=24\n"
    "OFFSET(prb_desc_ring.head_id)=40\nOFFSET(prb_desc_ring.tail_id)=48\nSIZE(prb_desc)=24\n"
    "OFFSET(prb_desc.state_var)=0\nOFFSET(prb_desc.text_blk_lpos)=8\nOFFSET(prb_data_blk_lpos.begin)=0\n"
    "OFFSET(prb_data_blk_lpos.next)=8\nSIZE(printk_info)=24\nOFFSET(printk_info.seq)=0\n"
    "OFFSET(printk_info.ts_nsec)=8\nOFFSET(printk_info.text_len)=16\n"
    "OFFSET(prb_data_ring.size_bits)=12\nOFFSET(prb_data_ring.data)=32\n";
constexpr std::string_view kBuffer =
    "OSRELEASE=4.19.0\nSYMBOL(log_buf)=ffffffff81000020\nSYMBOL(log_buf_len)=ffffffff8100000c\n"
    "SYMBOL(log_first_idx)=ffffffff81000028\nSYMBOL(log_next_idx)=ffffffff81000030\n"
    "SIZE(printk_log)=16\nOFFSET(printk_log.ts_nsec)=0\nOFFSET(printk_log.len)=8\n"
    "OFFSET(printk_log.text_len)=10\n";

class FuzzMemory final : public vmemfs::KernelMemory {
public:
  FuzzMemory(const Variables& variables, std::string_view content)
      : variables_{std::as_bytes(std::span{&variables, 1})}, content_{content} {}

  std::size_t read(std::uint64_t address, std::span<std::byte> buffer) override {
    reads_ += buffer.size();
    if (address >= kVariables && address - kVariables + buffer.size() <= variables_.size()) {
      std::ranges::copy(variables_.subspan(address - kVariables, buffer.size()), buffer.begin());
      return buffer.size();
    }
    if (content_.empty() || address < kMemory || address >= kVariables) {
      return 0;
    }
    for (std::size_t i = 0; i < buffer.size(); ++i) {
      buffer[i] = static_cast<std::byte>(content_[(address - kMemory + i) % content_.size()]);
    }
    return buffer.size();
  }
  std::size_t read_user(std::uint64_t /*top_table*/, std::uint64_t /*address*/,
                        std::span<std::byte> /*buffer*/) override {
    return 0;
  }
  [[nodiscard]] std::size_t reads() const { return reads_; }

private:
  const std::span<const std::byte> variables_;
  const std::string_view content_;
  std::size_t reads_ = 0;
};

} // namespace

FUZZ_TARGET(text) {
  const auto form = take<std::uint8_t>(text);
  const bool is_ring = (form & 1U) == 0;
  Variables variables;
  // Larger ones only take longer.
  variables.count_bits = take<std::uint8_t>(text) & 7U;
  variables.data_bits = take<std::uint8_t>(text) & 15U;
  variables.head = take<std::uint64_t>(text);
  variables.tail = take<std::uint64_t>(text);
  variables.infos = kMemory + (std::uint64_t{24} << variables.count_bits);
  variables.data = kMemory + (std::uint64_t{48} << variables.count_bits);
  if (!is_ring) { // it is not in bits there
    variables.data_bits = std::uint32_t{1} << variables.data_bits;
    variables.data = kMemory;
  }
  FuzzMemory memory{variables, text};
  const vmemfs::Vmcoreinfo info{.text = std::string{is_ring ? kRing : kBuffer}, .swapper_pg_dir = 0};
  const auto log = vmemfs::kernel_log(memory, info);
  constexpr std::size_t kMaxReads = std::size_t{17} << 20U;
  expect(memory.reads() <= kMaxReads, "what is read is bounded");
  if (!log) {
    return;
  }
  expect(log->empty() || log->ends_with('\n'), "lines are whole");
  expect(std::ranges::all_of(*log, [](char c) { return (c >= ' ' && c <= '~') || c == '\n' || c == '\t'; }),
         "all of it is printable");
}
