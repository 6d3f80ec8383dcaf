// SPDX-License-Identifier: MIT
// Made logs of a kernel, in the form of 5.10 and later, and that before.
#pragma once

#include "linux/made_memory.h"
#include "linux/vmcoreinfo.h"

#include <bit>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace vmemfs {

/// The ring of Debian's 6.1 kernel for x86-64, with fewer records.
class MadeRing {
public:
  static constexpr std::uint64_t kPrb = 0xffffffff81000100; ///< the variable
  static constexpr std::uint64_t kRing = 0xffffffff81001000;
  static constexpr std::uint64_t kDescriptors = 0xffff888000010000;
  static constexpr std::uint64_t kInfos = 0xffff888000020000;
  static constexpr std::uint64_t kData = 0xffff888000030000;
  static constexpr std::uint64_t kDescriptorBytes = 24;
  static constexpr std::uint64_t kInfoBytes = 88;
  static constexpr std::uint64_t kReserved = 0;
  static constexpr std::uint64_t kCommitted = 1;
  static constexpr std::uint64_t kFinalized = 2;
  static constexpr std::uint64_t kReusable = 3;
  static constexpr std::uint64_t kIdMask = ~std::uint64_t{0} >> 2U;

  explicit MadeRing(std::uint32_t count_bits = 3, std::uint32_t data_bits = 9)
      : count_{std::uint64_t{1} << count_bits}, data_bytes_{std::uint64_t{1} << data_bits} {
    // As the kernel begins: so that numbers overflow soon.
    next_id_ = (0 - count_) & kIdMask;
    next_position_ = 0 - data_bytes_;
    memory.write(kPrb, kRing);
    memory.write(kRing, count_bits);
    memory.write(kRing + 8, kDescriptors);
    memory.write(kRing + 16, kInfos);
    memory.write(kRing + 40, data_bits);
    memory.write(kRing + 48, kData);
    memory.write_text(kDescriptors, std::string(count_ * kDescriptorBytes, '\0'));
    memory.write_text(kInfos, std::string(count_ * kInfoBytes, '\0'));
    memory.write_text(kData, std::string(data_bytes_, '\0'));
  }

  /// Appends a record as the kernel does, and returns its number. It overwrites the oldest one if all are in
  /// use; the caller cares for the data.
  std::uint64_t add(std::string_view text, std::uint64_t time_ns = 0) {
    const std::uint64_t id = next_id_;
    const std::uint64_t size = (8 + text.size() + 7) / 8 * 8;
    std::uint64_t begin = next_position_;
    std::uint64_t block = begin;
    if (begin / data_bytes_ != (begin + size - 1) / data_bytes_) {
      block = (begin / data_bytes_ + 1) * data_bytes_;
    }
    next_position_ = block + size;
    memory.write(kData + block % data_bytes_, id);
    memory.write_text(kData + block % data_bytes_ + 8, text);
    set(id, kFinalized, begin, next_position_, time_ns, text.size());
    advance();
    return id;
  }
  /// A record without data: `position` is 1 if there was no room, 3 if it is empty.
  std::uint64_t add_without_data(std::uint64_t position) {
    const std::uint64_t id = next_id_;
    set(id, kFinalized, position, position, 0, 0);
    advance();
    return id;
  }

  void set_state(std::uint64_t id, std::uint64_t state) {
    memory.write(descriptor(id), state << 62U | (id & kIdMask));
  }
  void set_position(std::uint64_t id, std::uint64_t begin, std::uint64_t next) {
    memory.write(descriptor(id) + 8, begin);
    memory.write(descriptor(id) + 16, next);
  }
  [[nodiscard]] std::uint64_t descriptor(std::uint64_t id) const {
    return kDescriptors + id % count_ * kDescriptorBytes;
  }
  [[nodiscard]] std::uint64_t info(std::uint64_t id) const { return kInfos + id % count_ * kInfoBytes; }
  [[nodiscard]] std::uint64_t next_position() const { return next_position_; }

  [[nodiscard]] static Vmcoreinfo vmcoreinfo() {
    return {.text = "OSRELEASE=6.1.0\nSYMBOL(prb)=ffffffff81000100\n"
                    "OFFSET(printk_ringbuffer.desc_ring)=0\nOFFSET(printk_ringbuffer.text_data_ring)=40\n"
                    "OFFSET(prb_desc_ring.count_bits)=0\nOFFSET(prb_desc_ring.descs)=8\n"
                    "OFFSET(prb_desc_ring.infos)=16\nOFFSET(prb_desc_ring.head_id)=24\n"
                    "OFFSET(prb_desc_ring.tail_id)=32\nSIZE(prb_desc)=24\nOFFSET(prb_desc.state_var)=0\n"
                    "OFFSET(prb_desc.text_blk_lpos)=8\nOFFSET(prb_data_blk_lpos.begin)=0\n"
                    "OFFSET(prb_data_blk_lpos.next)=8\nSIZE(printk_info)=88\nOFFSET(printk_info.seq)=0\n"
                    "OFFSET(printk_info.ts_nsec)=8\nOFFSET(printk_info.text_len)=16\n"
                    "OFFSET(prb_data_ring.size_bits)=0\nOFFSET(prb_data_ring.data)=8\n",
            .swapper_pg_dir = 0xffffffff81002000};
  }

  MadeMemory memory;

private:
  void set(std::uint64_t id, std::uint64_t state, std::uint64_t begin, std::uint64_t next,
           std::uint64_t time_ns, std::size_t length) {
    set_position(id, begin, next);
    memory.write(info(id), sequence_++);
    memory.write(info(id) + 8, time_ns);
    memory.write(info(id) + 16, static_cast<std::uint16_t>(length));
    set_state(id, state);
  }
  void advance() {
    memory.write(kRing + 24, next_id_);
    memory.write(kRing + 32,
                 sequence_ <= count_ ? (0 - count_) & kIdMask : (next_id_ - count_ + 1) & kIdMask);
    next_id_ = (next_id_ + 1) & kIdMask;
  }

  const std::uint64_t count_;
  const std::uint64_t data_bytes_;
  std::uint64_t next_id_;
  std::uint64_t next_position_;
  std::uint64_t sequence_ = 0;
};

/// The buffer of Linux 4.19 for x86-64.
class MadeBuffer {
public:
  static constexpr std::uint64_t kVariables = 0xffffffff81000100;
  static constexpr std::uint64_t kBuffer = 0xffff888000010000;
  static constexpr std::uint32_t kBytes = 512;

  MadeBuffer() {
    memory.write(kVariables, kBuffer);
    memory.write(kVariables + 8, kBytes);
    memory.write_text(kBuffer, std::string(kBytes, '\0'));
    set_bounds(0, 0);
  }

  /// A record at the current end, as the kernel makes it, with a dictionary. Returns where it begins.
  std::uint32_t add(std::string_view text, std::uint64_t time_ns = 0, std::string_view dictionary = {}) {
    const auto size = static_cast<std::uint32_t>((16 + text.size() + dictionary.size() + 3) / 4 * 4);
    if (next_ + size + 16 > kBytes) {
      memory.write(kBuffer + next_ + 8, std::uint16_t{0});
      next_ = 0;
    }
    const std::uint32_t at = next_;
    memory.write(kBuffer + at, time_ns);
    memory.write(kBuffer + at + 8, static_cast<std::uint16_t>(size));
    memory.write(kBuffer + at + 10, static_cast<std::uint16_t>(text.size()));
    memory.write(kBuffer + at + 12, static_cast<std::uint16_t>(dictionary.size()));
    memory.write_text(kBuffer + at + 16, text);
    memory.write_text(kBuffer + at + 16 + text.size(), dictionary);
    next_ += size;
    set_bounds(first_, next_);
    return at;
  }
  void set_bounds(std::uint32_t first, std::uint32_t next) {
    first_ = first;
    next_ = next;
    memory.write(kVariables + 12, first);
    memory.write(kVariables + 16, next);
  }

  [[nodiscard]] static Vmcoreinfo vmcoreinfo() {
    return {.text =
                "OSRELEASE=4.19.0\nSYMBOL(log_buf)=ffffffff81000100\nSYMBOL(log_buf_len)=ffffffff81000108\n"
                "SYMBOL(log_first_idx)=ffffffff8100010c\nSYMBOL(log_next_idx)=ffffffff81000110\n"
                "SIZE(printk_log)=16\nOFFSET(printk_log.ts_nsec)=0\nOFFSET(printk_log.len)=8\n"
                "OFFSET(printk_log.text_len)=10\nOFFSET(printk_log.dict_len)=12\n",
            .swapper_pg_dir = 0xffffffff81002000};
  }

  MadeMemory memory;

private:
  std::uint32_t first_ = 0;
  std::uint32_t next_ = 0;
};

} // namespace vmemfs
