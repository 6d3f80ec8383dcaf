// SPDX-License-Identifier: MIT
// Construction of VMware's state files from the description of their format; no VMware wrote them.
#pragma once

#include "image_bytes.h"

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace vmemfs::test {

inline constexpr std::uint32_t kVmwareMagic = 0xbed2bed2;
inline constexpr std::uint32_t kVmwareOldMagic = 0xbed0bed0; ///< sizes of blocks have 32 bits

using Indices = std::vector<std::uint32_t>;

inline std::string vmware_tag_begin(std::string_view name, const Indices& indices, std::size_t size) {
  std::string bytes = number(indices.size() << 6U | size, 1) + number(name.size(), 1) + std::string{name};
  for (const std::uint32_t index : indices) {
    bytes += number(index, 4);
  }
  return bytes;
}

inline std::string vmware_value(std::string_view name, const Indices& indices, std::uint64_t value,
                                std::size_t size = 4) {
  return vmware_tag_begin(name, indices, size) + number(value, size);
}

struct BlockForm {
  std::size_t padding = 0;
  bool packed = false;
  bool old = false;
};

/// Up to the bytes of a block of this size.
inline std::string vmware_block_begin(std::string_view name, const Indices& indices, std::uint64_t size,
                                      const BlockForm& form = {}) {
  const std::size_t width = form.old ? 4 : 8;
  return vmware_tag_begin(name, indices, form.packed ? 62 : 63) + number(size, width) + number(size, width) +
         number(form.padding, 2) + std::string(form.padding, '\xff');
}

inline std::string vmware_block(std::string_view name, const Indices& indices, std::string_view content,
                                const BlockForm& form = {}) {
  return vmware_block_begin(name, indices, content.size(), form) + std::string{content};
}

inline std::string vmware_end() { return number(0, 2); }

struct VmwareGroup {
  std::string name;
  std::string tags; ///< without their end
};

inline std::string vmware_state(const std::vector<VmwareGroup>& groups, std::uint32_t magic = kVmwareMagic) {
  std::string file = number(magic, 4) + number(8, 4) + number(groups.size(), 4);
  std::uint64_t offset = file.size() + groups.size() * 80;
  std::string tags;
  for (const VmwareGroup& group : groups) {
    std::string name = group.name;
    name.resize(64, '\0');
    const std::string content = group.tags + vmware_end();
    file += name + number(offset, 8) + number(content.size(), 8);
    offset += content.size();
    tags += content;
  }
  return file + tags;
}

/// In pages.
struct VmwareRegionPages {
  std::uint64_t in_file;
  std::uint64_t in_guest;
  std::uint64_t count;
};

inline std::string vmware_regions(const std::vector<VmwareRegionPages>& regions) {
  std::string tags = vmware_value("regionsCount", {}, regions.size());
  for (std::uint32_t i = 0; i < regions.size(); ++i) {
    tags += vmware_value("regionPageNum", {i}, regions[i].in_file);
    tags += vmware_value("regionPPN", {i}, regions[i].in_guest);
    tags += vmware_value("regionSize", {i}, regions[i].count);
  }
  return tags;
}

/// A page for each letter.
inline std::string vmware_pages(std::string_view letters) {
  std::string bytes;
  for (const char letter : letters) {
    bytes += std::string(0x1000, letter);
  }
  return bytes;
}

/// The general registers of a vCPU as a block: rax is `first`, the others follow in the block's order.
inline std::string vmware_general(std::uint64_t first) {
  std::string block;
  for (std::uint64_t i = 0; i < 16; ++i) {
    block += number(first + i, 8);
  }
  return block;
}

} // namespace vmemfs::test
