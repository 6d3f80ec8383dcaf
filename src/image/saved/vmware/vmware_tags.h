// SPDX-License-Identifier: MIT
// Groups and tags of VMware's state files (.vmss, .vmsn): each group is a list of named values.
//
// Format: as the readers of crash (vmware_vmss.c) and Volatility (layers/vmware.py, and vmware.py of version
// 2) know it; VMware has published none. Header: u32 magic, version and number of groups; then for each group
// its name in 64 bytes, u64 offset and size. A tag is a byte of flags (size of the value in bits 0 to 5,
// number of indices in bits 6 and 7), the length of the name, the name, the indices as u32, and the value.
// The sizes 63 and 62 are those of a block, plain and compressed: its size in the file and in memory, the u16
// length of padding, the padding, and the bytes. Two zeros end a group. Numbers are little-endian.
#pragma once

#include "image/saved/saved_file.h"

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace vmemfs {

/// Whether a file that begins with these bytes is a state file, by its magic.
[[nodiscard]] bool is_vmware_state(std::span<const std::byte> head);

struct VmwareTag {
  enum class Kind : unsigned char { value, block, packed_block };

  std::string name{};
  std::vector<std::uint32_t> indices{}; ///< at most 3
  Kind kind = Kind::value;
  std::uint64_t number = 0; ///< a value's first 8 bytes
  std::uint64_t offset = 0; ///< of a block's bytes, below 2^63 + 2^16
  std::uint64_t size = 0;   ///< of the value, or of the block in the file; below 2^52

  /// An index; nullopt: the tag has fewer.
  [[nodiscard]] std::optional<std::uint32_t> index(std::size_t i) const {
    return i < indices.size() ? std::optional{indices[i]} : std::nullopt;
  }
};

/// The tags of one group, in their order. What is read and allocated has a fixed bound, whatever the file
/// has. Not thread-safe.
class VmwareTags {
public:
  /// Max number of groups of a file, and of tags of a group; those after them are left out.
  static constexpr std::uint32_t kMaxGroups = 4096;
  static constexpr std::size_t kMaxTags = std::size_t{1} << 20;

  /// The first group of this name. nullopt: there is none up to the end of the file, which must live as long
  /// as the tags.
  [[nodiscard]] static std::optional<VmwareTags> find(const SavedFile& file, std::string_view group);

  /// nullopt: the group's end, or that of what can be read of it, see problem().
  [[nodiscard]] std::optional<VmwareTag> next();
  /// Why the tags ended before the group did, as the end of a sentence; empty: they did not.
  [[nodiscard]] std::string_view problem() const { return problem_; }

private:
  VmwareTags(const SavedFile& file, std::uint64_t offset, bool wide)
      : file_{&file}, at_{offset}, wide_{wide} {}

  bool read_tag(VmwareTag& tag);
  bool read_block(VmwareTag& tag);
  template <typename T> bool take(T& value) { return take(std::as_writable_bytes(std::span{&value, 1})); }
  bool take(std::span<std::byte> to);
  bool end(std::string_view problem);

  const SavedFile* file_;
  std::uint64_t at_;
  bool wide_; ///< sizes of blocks have 64 bits, else 32
  bool ended_ = false;
  std::size_t tags_ = 0;
  std::size_t reads_ = 0;
  std::string_view problem_{};
  std::array<std::byte, 4096> buffer_{}; ///< bytes of the file from buffer_begin_ on
  std::uint64_t buffer_begin_ = 0;
  std::size_t buffer_size_ = 0;
};

} // namespace vmemfs
