// SPDX-License-Identifier: MIT
#include "image/packed/kdump_layout.h"

#include "image/saved/kdump/kdump_headers.h"
#include "image/saved/page_codec.h"

#include <algorithm>
#include <charconv>
#include <cstring>
#include <elf.h>
#include <limits>
#include <optional>
#include <string_view>
#include <utility>

namespace vmemfs {
namespace {

constexpr std::int32_t kVersion = 6;
constexpr std::size_t kNoteAlign = 4;

std::size_t aligned(std::size_t size) { return (size + kNoteAlign - 1) / kNoteAlign * kNoteAlign; }

/// What the headers say of the notes.
struct NoteFacts {
  std::uint32_t cpus = 0;
  std::size_t vmcoreinfo_begin = 0;
  std::string_view vmcoreinfo{}; ///< empty: there is none
};

NoteFacts facts_of(std::span<const std::byte> notes) {
  NoteFacts facts;
  for (std::size_t at = 0; notes.size() - at >= sizeof(Elf64_Nhdr);) {
    Elf64_Nhdr note{};
    std::memcpy(&note, notes.data() + at, sizeof note);
    const std::size_t name_begin = at + sizeof note;
    if (note.n_namesz > notes.size() - name_begin ||
        aligned(note.n_namesz) + note.n_descsz > notes.size() - name_begin) {
      break;
    }
    const auto* const text = reinterpret_cast<const char*>(notes.data());
    const std::string_view name{text + name_begin, note.n_namesz};
    const std::size_t begin = name_begin + aligned(note.n_namesz);
    using namespace std::string_view_literals;
    if (name == "CORE\0"sv && note.n_type == NT_PRSTATUS) {
      ++facts.cpus;
    } else if (name == "VMCOREINFO\0"sv) {
      facts.vmcoreinfo_begin = begin;
      facts.vmcoreinfo = {text + begin, note.n_descsz};
    }
    at = std::min(begin + aligned(note.n_descsz), notes.size());
  }
  return facts;
}

/// A line KEY=VALUE of VMCOREINFO.
std::string_view value_of(std::string_view vmcoreinfo, std::string_view key) {
  while (!vmcoreinfo.empty()) {
    const std::string_view line = vmcoreinfo.substr(0, vmcoreinfo.find('\n'));
    vmcoreinfo.remove_prefix(std::min(line.size() + 1, vmcoreinfo.size()));
    if (line.starts_with(key) && line.substr(key.size()).starts_with('=')) {
      return line.substr(key.size() + 1);
    }
  }
  return {};
}

/// Of x86 only; others have 0.
std::uint64_t phys_base_of(std::string_view vmcoreinfo) {
  const std::string_view text = value_of(vmcoreinfo, "NUMBER(phys_base)");
  std::int64_t value = 0;
  std::from_chars(text.data(), text.data() + text.size(), value);
  return static_cast<std::uint64_t>(value);
}

std::string_view machine_name(std::uint16_t machine) {
  switch (machine) {
  case EM_X86_64: return "x86_64";
  case EM_AARCH64: return "aarch64";
  case EM_RISCV: return "riscv64";
  default: return {};
  }
}

void put_name(KdumpHeader& header, std::size_t which, std::string_view name) {
  auto& field = header.uname[which];
  std::ranges::copy(name.substr(0, field.size() - 1), field.begin());
}

template <typename T> void put(std::vector<std::byte>& bytes, std::size_t offset, const T& value) {
  std::memcpy(bytes.data() + offset, &value, sizeof value);
}

} // namespace

KdumpLayout::KdumpLayout(KdumpContent content)
    : content_{std::move(content)},
      sub_header_blocks_{(sizeof(KdumpSubHeader) + content_.notes.size() + kPageSize - 1) / kPageSize} {
  for (const GpaRange& range : content_.ranges) {
    pages_ += range.size() / kPageSize;
  }
}

std::uint64_t KdumpLayout::max_frame() const { return Gfn{content_.ranges.back().end}.value(); }

std::uint64_t KdumpLayout::bitmap_bytes() const {
  constexpr std::uint64_t kFrames = 8 * kPageSize; // of a block
  return (max_frame() + kFrames - 1) / kFrames * kPageSize;
}

std::uint64_t KdumpLayout::data() const { return descriptors() + pages_ * sizeof(KdumpPageDescriptor); }

std::vector<std::byte> KdumpLayout::headers() const {
  const NoteFacts facts = facts_of(content_.notes);
  KdumpHeader header{};
  std::ranges::copy(std::string_view{"KDUMP   "}, header.signature.begin());
  header.version = kVersion;
  put_name(header, kKdumpMachine, machine_name(content_.machine));
  if (!facts.vmcoreinfo.empty()) {
    put_name(header, kKdumpSystem, "Linux");
    put_name(header, kKdumpRelease, value_of(facts.vmcoreinfo, "OSRELEASE"));
    put_name(header, kKdumpVersion, "unknown"); // libkdumpfile takes no machine of a header without it
  }
  const auto time =
      std::chrono::duration_cast<std::chrono::microseconds>(content_.time.time_since_epoch()).count();
  header.seconds = time / std::micro::den;
  header.microseconds = time % std::micro::den;
  header.status = static_cast<std::uint32_t>(PageCodec::zlib);
  header.block_size = kPageSize;
  header.sub_header_blocks = static_cast<std::int32_t>(sub_header_blocks_);
  header.bitmap_blocks = static_cast<std::uint32_t>(2 * bitmap_bytes() / kPageSize);
  header.max_frame = static_cast<std::uint32_t>(
      std::min<std::uint64_t>(max_frame(), std::numeric_limits<std::uint32_t>::max()));
  header.cpus = facts.cpus;

  KdumpSubHeader sub{};
  sub.phys_base = phys_base_of(facts.vmcoreinfo);
  sub.max_frame_64 = max_frame();
  constexpr std::size_t kNotes = kPageSize + sizeof sub;
  if (!content_.notes.empty()) {
    sub.notes_offset = kNotes;
    sub.notes_size = content_.notes.size();
  }
  if (!facts.vmcoreinfo.empty()) {
    sub.vmcoreinfo_offset = kNotes + facts.vmcoreinfo_begin;
    sub.vmcoreinfo_size = facts.vmcoreinfo.size();
  }
  std::vector<std::byte> bytes(static_cast<std::size_t>(bitmaps()));
  put(bytes, 0, header);
  put(bytes, kPageSize, sub);
  std::ranges::copy(content_.notes, bytes.begin() + kNotes);
  return bytes;
}

void KdumpLayout::fill_bitmap(std::uint64_t begin, std::span<std::byte> part) const {
  std::ranges::fill(part, std::byte{0});
  const std::uint64_t first = begin * 8;
  const std::uint64_t last = first + part.size() * 8;
  for (const GpaRange& range : content_.ranges) {
    const std::uint64_t end = std::min(Gfn{range.end}.value(), last);
    for (std::uint64_t frame = std::max(Gfn{range.begin}.value(), first); frame < end;) {
      const auto byte = static_cast<std::size_t>((frame - first) / 8);
      if (frame % 8 == 0 && end - frame >= 8) {
        part[byte] = std::byte{0xff};
        frame += 8;
      } else {
        part[byte] |= std::byte{1} << static_cast<unsigned>(frame % 8);
        ++frame;
      }
    }
  }
}

} // namespace vmemfs
