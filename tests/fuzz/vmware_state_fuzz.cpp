// SPDX-License-Identifier: MIT
// State files of VMware whose tags are whole, with any names, indices and values: what mutations of a whole
// file, as of dump_image, seldom reach. The input is: a byte with the magic and where the memory is, and the
// tags, each a byte with its name, a byte with its form, a byte for each index, and its value.
#include "fuzz/fuzz_target.h"
#include "image/saved/elf_notes.h"
#include "image/saved/saved_formats.h"
#include "image/saved/vmware/vmware_image.h"
#include "image/vmware_state.h"

#include <algorithm>
#include <array>

namespace {

using vmemfs::fuzz::expect;
namespace test = vmemfs::test;

constexpr std::array<std::string_view, 24> kNames{
    "Memory",       "regionsCount", "regionPageNum",
    "regionPPN",    "regionSize",   "align_mask",
    "cpu:numVCPUs", "gpregs",       "CR64",
    "CR",           "IDTR",         "rip",
    "rax",          "r15",          "rbp",
    "eflags",       "EFLAGS",       "S",
    "S.base64",     "hv:ttbrEL1",   "",
    "unknown",      "memory",       "cpu",
};

// Bits of the first byte.
constexpr unsigned kOld = 1;
constexpr unsigned kPair = 2; ///< the memory is in another file
constexpr unsigned kCut = 4;  ///< the last bytes are missing

template <typename T> T take(std::string_view& text) {
  T value{};
  const std::size_t size = std::min(sizeof value, text.size());
  std::copy_n(text.begin(), size, reinterpret_cast<char*>(&value));
  text.remove_prefix(size);
  return value;
}

/// A tag; its form: bits 0 and 1 are the number of indices, 2 and 3 the kind of value, the others its size.
std::string take_tag(std::string_view& text, std::string_view name, bool old) {
  const auto form = take<std::uint8_t>(text);
  test::Indices indices(form & 3U);
  for (std::uint32_t& index : indices) {
    const auto byte = take<std::uint8_t>(text);
    index = byte == 0xff ? 0xffffffff : byte == 0xfe ? 4095 : byte;
  }
  const std::size_t size = form >> 4U;
  const auto kind = form >> 2U & 3U;
  const test::BlockForm block{.padding = take<std::uint8_t>(text), .packed = kind == 2, .old = old};
  switch (kind) {
  case 0: return test::vmware_value(name, indices, take<std::uint64_t>(text), std::min<std::size_t>(size, 8));
  case 3: return test::vmware_block_begin(name, indices, take<std::uint64_t>(text), block); // may be a lie
  default: break;
  }
  // The sizes of the blocks that are read are among these.
  constexpr std::array<std::size_t, 8> kSizes{0, 1, 10, 72, 128, 4096, 8192, 8193};
  const std::size_t wanted = kSizes[size % kSizes.size()];
  std::string content{text.substr(0, wanted)};
  text.remove_prefix(content.size());
  content.resize(wanted, 'x');
  return test::vmware_block(name, indices, content, block);
}

std::string make_state(std::string_view text, unsigned flags) {
  std::string memory;
  std::string cpu;
  while (!text.empty()) {
    const auto name = kNames[take<std::uint8_t>(text) % kNames.size()];
    const std::string tag = take_tag(text, name, (flags & kOld) != 0);
    // What is of neither group goes to both.
    const bool of_memory = name.starts_with("region") || name == "Memory" || name == "align_mask";
    (of_memory ? memory : cpu) += tag;
    if (name == "unknown" || name.empty()) {
      memory += tag;
    }
  }
  return test::vmware_state({{"memory", memory}, {"cpu", cpu}},
                            (flags & kOld) != 0 ? test::kVmwareOldMagic : test::kVmwareMagic);
}

void check(const vmemfs::Result<vmemfs::SavedImage>& image, std::uint64_t file_size) {
  if (!image) {
    expect(!image.error().text.empty(), "an error has a sentence");
    return;
  }
  expect(!image->extents.empty(), "an image has memory");
  vmemfs::Gpa end;
  for (const vmemfs::Extent& extent : image->extents) {
    expect(end <= extent.range.begin && extent.range.begin < extent.range.end,
           "extents are sorted and apart");
    end = extent.range.end;
    expect(extent.kind != vmemfs::ExtentKind::stored ||
               (extent.offset < file_size && extent.range.size() <= file_size - extent.offset),
           "what is stored is in the file");
  }
  expect(image->registers.size() <= vmemfs::kMaxDumpVcpus, "the number of vCPUs is bounded");
  expect(image->registers.empty() == image->registers_from.empty(), "registers have a source");
}

} // namespace

FUZZ_TARGET(text) {
  const auto flags = take<std::uint8_t>(text);
  std::string bytes = make_state(text, flags);
  if ((flags & kCut) != 0) {
    bytes.resize(bytes.size() - std::min<std::size_t>(bytes.size() - 12, flags >> 3U));
  }
  const vmemfs::fuzz::MemoryFile state{bytes};
  const auto file = vmemfs::SavedFile::open(state.path());
  expect(file.has_value(), "the state can be opened");
  if ((flags & kPair) == 0) {
    check(vmemfs::open_image(*file, "vmware"), file->size());
    return;
  }
  const vmemfs::fuzz::MemoryFile pages{std::string(std::size_t{2} << 12U, 'p')};
  const auto memory = vmemfs::SavedFile::open(pages.path());
  expect(memory.has_value(), "the memory can be opened");
  check(vmemfs::open_vmware_pair(*file, *memory), memory->size());
}
