// SPDX-License-Identifier: MIT
#include "image/saved/windows/windows_image.h"

#include "image/saved/extent_builder.h"
#include "image/saved/page_bitmap.h"
#include "image/saved/windows/bitmap_pages.h"
#include "image/saved/windows/crash_header.h"
#include "image/saved/windows/crash_registers.h"

#include <algorithm>
#include <fmt/format.h>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace vmemfs {
namespace {

tl::unexpected<Error> damaged(std::string text) { return fail(ErrorKind::invalid, "dump", std::move(text)); }
tl::unexpected<Error> unsupported(std::string text) {
  return fail(ErrorKind::unsupported, "dump", std::move(text));
}

constexpr std::uint64_t kHeaderBytes = sizeof(CrashHeader);
constexpr std::uint64_t kMaxPages = kMaxImageGpa / kPageSize;
/// 4 TiB; bounds a bitmap to 128 MiB.
constexpr std::uint64_t kMaxBitmapPages = std::uint64_t{1} << 30;

enum class DumpType : std::uint32_t {
  complete = 1,
  kernel = 2,
  header = 3,
  minidump = 4,
  complete_bitmap = 5,
  active = 6,
  new_kernel = 8, ///< from here on with the header that begins with "RDMP"
  new_kernel_and_user = 9,
  new_complete = 10,
};

/// Empty: not of a type that is supported.
std::string_view memory_of(DumpType type) {
  switch (type) {
  case DumpType::complete:
  case DumpType::complete_bitmap:
  case DumpType::new_complete: return "complete";
  case DumpType::kernel:
  case DumpType::new_kernel: return "kernel";
  case DumpType::active: return "active";
  case DumpType::new_kernel_and_user: return "kernel and user";
  case DumpType::header:
  case DumpType::minidump: break;
  }
  return "";
}

/// Behind the first header, of types 2, 5 and 6.
struct BitmapHeader {
  std::array<char, 8> signature; ///< "SDMPDUMP" or "FDMPDUMP"
  std::array<std::uint64_t, 3> unused;
  std::uint64_t first_page; ///< offset in the file
  std::uint64_t pages;
  std::uint64_t bits;
};
static_assert(sizeof(BitmapHeader) == 0x38);

/// Behind the first header, of types 8 to 10.
struct NewHeader {
  std::uint32_t marker;
  std::array<char, 8> signature; ///< "RDMPDUMP"
  std::uint32_t unused;
  std::uint64_t metadata_bytes;
  std::uint64_t first_page; ///< offset in the file
  std::uint64_t runs;       ///< the lower half; type 10 only
  std::uint64_t pages;      ///< type 10 only
};
static_assert(sizeof(NewHeader) == 0x30);

std::string_view text_of(const std::array<char, 8>& bytes) { return {bytes.data(), bytes.size()}; }

/// The runs of the machine's memory. Empty: the header has none that can be true.
std::vector<PageRun> runs_of(const CrashHeader& header) {
  std::vector<PageRun> runs;
  const auto count = header.field<std::uint32_t>(CrashHeader::kRunCount);
  if (count > CrashHeader::kMaxRuns) {
    return runs;
  }
  for (std::size_t i = 0; i < count; ++i) {
    runs.push_back(header.field<PageRun>(CrashHeader::kRuns + i * sizeof(PageRun)));
  }
  return runs;
}

Result<void> add_pages(ExtentBuilder& extents, const PageRun& run, ExtentKind kind, std::uint64_t offset) {
  if (run.first >= kMaxPages || run.count > kMaxPages) { // before they are multiplied
    return damaged(
        fmt::format("it has a run of {:#x} pages from page {:#x} on, beyond all memory; the file is "
                    "damaged",
                    run.count, run.first));
  }
  return extents.add(run.first * kPageSize, run.count * kPageSize, kind, offset);
}

// ---- runs: their pages follow one another in the file

Result<SavedImage> open_runs(const SavedFile& file, SavedImage image, std::span<const PageRun> runs,
                             std::uint64_t first_page) {
  ExtentBuilder extents{file.size()};
  std::uint64_t pages = 0;
  for (const PageRun& run : runs) {
    if (run.count == 0) {
      continue;
    }
    if (auto added = add_pages(extents, run, ExtentKind::stored, first_page + pages * kPageSize); !added) {
      return tl::unexpected{std::move(added.error())};
    }
    pages += run.count;
    if (pages > kMaxPages) {
      return damaged("the runs of the Windows crash dump have more pages than there can be");
    }
  }
  return finish_image(std::move(image), std::move(extents));
}

// ---- bitmap: pages in the order of its bits

struct BitmapPlace {
  std::uint64_t offset;
  std::uint64_t bits;
  std::uint64_t first_page;
};

Result<PageBitmap> read_bitmap(const SavedFile& file, const BitmapPlace& place) {
  if (place.bits == 0 || place.bits > kMaxBitmapPages) {
    return damaged(fmt::format("the bitmap of the Windows crash dump has {} pages instead of 1 to {}",
                               place.bits, kMaxBitmapPages));
  }
  const std::uint64_t size = (place.bits + 7) / 8;
  if (size > file.size() - std::min(place.offset, file.size())) {
    return damaged("the Windows crash dump is cut off within its bitmap, which says what is where");
  }
  if (place.first_page < place.offset + size || place.first_page >= kMaxImageGpa) {
    return damaged(
        fmt::format("the first page of the Windows crash dump is at offset {:#x}, within its headers "
                    "or beyond all files",
                    place.first_page));
  }
  std::vector<std::byte> bits(static_cast<std::size_t>(size));
  if (file.read(place.offset, bits) != bits.size()) {
    return damaged("the bitmap of the Windows crash dump cannot be read");
  }
  return PageBitmap{bits, place.bits};
}

/// Adds the stored pages of a range, which runs of the header do not have.
Result<void> add_stored(ExtentBuilder& extents, const PageBitmap& stored, std::uint64_t begin,
                        std::uint64_t end) {
  for (std::uint64_t at = stored.next(begin, true); at < end;) {
    const std::uint64_t behind = std::min(end, stored.next(at, false));
    if (auto added = add_pages(extents, {at, behind - at}, ExtentKind::packed, at * kPageSize); !added) {
      return added;
    }
    at = behind < end ? stored.next(behind, true) : end;
  }
  return {};
}

/// Memory is what the header's runs have, whether it is stored or not, and what is stored.
Result<void> add_memory(ExtentBuilder& extents, std::vector<PageRun> runs, const PageBitmap& stored) {
  std::ranges::sort(runs, {}, &PageRun::first);
  std::uint64_t at = 0;
  for (const PageRun& run : runs) {
    if (run.count == 0) {
      continue;
    }
    // The offset is only for show: `maps` numbers the bytes of packed memory by their address.
    if (auto added = add_pages(extents, run, ExtentKind::packed, run.first * kPageSize); !added) {
      return added;
    }
    if (at < run.first) {
      if (auto added = add_stored(extents, stored, at, std::min(run.first, stored.size())); !added) {
        return added;
      }
    }
    at = std::max(at, run.first + run.count);
  }
  return at < stored.size() ? add_stored(extents, stored, at, stored.size()) : Result<void>{};
}

Result<SavedImage> open_bitmap(const SavedFile& file, SavedImage image, const CrashHeader& header,
                               const BitmapPlace& place) {
  auto stored = read_bitmap(file, place);
  if (!stored) {
    return tl::unexpected{stored.error()};
  }
  ExtentBuilder extents{file.size()};
  if (auto added = add_memory(extents, runs_of(header), *stored); !added) {
    return tl::unexpected{std::move(added.error())};
  }
  auto pages = std::make_unique<BitmapPages>(std::move(*stored), place.first_page);
  const auto first_missing = pages->first_missing(file.size());
  image.decoder = std::move(pages);
  auto finished = finish_image(std::move(image), std::move(extents));
  if (finished) {
    finished->first_missing = first_missing;
  }
  return finished;
}

// ---- the headers behind the first one

Result<SavedImage> open_with_bitmap_header(const SavedFile& file, SavedImage image,
                                           const CrashHeader& header) {
  const auto second = file.read_as<BitmapHeader>(kHeaderBytes);
  if (!second) {
    return damaged("the Windows crash dump is cut off within its second header");
  }
  const std::string_view signature = text_of(second->signature);
  if (signature != "SDMPDUMP" && signature != "FDMPDUMP") {
    return unsupported("the Windows crash dump has no bitmap of its pages, as those of Windows 7 and older; "
                       "only complete dumps of these are supported");
  }
  return open_bitmap(file, std::move(image), header,
                     {kHeaderBytes + sizeof(BitmapHeader), second->bits, second->first_page});
}

Result<SavedImage> open_new_complete(const SavedFile& file, SavedImage image, const NewHeader& second) {
  constexpr std::uint64_t kRuns = kHeaderBytes + sizeof(NewHeader);
  const std::uint64_t count = second.runs & 0xffff'ffffU;
  if (count > kMaxImageRanges || count * sizeof(PageRun) > second.first_page - kRuns) {
    return damaged(fmt::format("the Windows crash dump has {} runs, which is more than its list or than {}",
                               count, kMaxImageRanges));
  }
  std::vector<PageRun> runs(static_cast<std::size_t>(count));
  const auto bytes = std::as_writable_bytes(std::span{runs});
  if (file.read(kRuns, bytes) != bytes.size()) {
    return damaged("the Windows crash dump is cut off within its list of runs, which says what is where");
  }
  return open_runs(file, std::move(image), runs, second.first_page);
}

Result<SavedImage> open_with_new_header(const SavedFile& file, SavedImage image, const CrashHeader& header,
                                        DumpType type) {
  const auto second = file.read_as<NewHeader>(kHeaderBytes);
  if (!second) {
    return damaged("the Windows crash dump is cut off within its second header");
  }
  constexpr std::uint64_t kTable = kHeaderBytes + sizeof(NewHeader);
  if (text_of(second->signature) != "RDMPDUMP" || second->first_page < kTable ||
      second->first_page >= kMaxImageGpa ||
      second->metadata_bytes != second->first_page - kHeaderBytes - 0x20) {
    return damaged("the second header of the Windows crash dump is damaged");
  }
  if (type == DumpType::new_complete) {
    return open_new_complete(file, std::move(image), *second);
  }
  return open_bitmap(file, std::move(image), header,
                     {kTable, (second->first_page - kTable) * 8, second->first_page});
}

Result<SavedImage> open_type(const SavedFile& file, SavedImage image, const CrashHeader& header,
                             DumpType type) {
  switch (type) {
  case DumpType::complete: {
    const auto runs = runs_of(header);
    return runs.empty()
               ? damaged("the Windows crash dump has no runs of memory in its header, or more than fit")
               : open_runs(file, std::move(image), runs, kHeaderBytes);
  }
  case DumpType::kernel:
  case DumpType::complete_bitmap:
  case DumpType::active: return open_with_bitmap_header(file, std::move(image), header);
  case DumpType::new_kernel:
  case DumpType::new_kernel_and_user:
  case DumpType::new_complete: return open_with_new_header(file, std::move(image), header, type);
  case DumpType::header:
  case DumpType::minidump: break;
  }
  return unsupported("it is a small memory dump (minidump) of Windows, which has no physical memory; only "
                     "complete, kernel and active memory dumps are supported");
}

class WindowsFormat : public SavedFormat {
public:
  std::string_view name() const override { return "windows"; }

  bool matches(std::span<const std::byte> head) const override {
    const std::string_view text{reinterpret_cast<const char*>(head.data()), head.size()};
    return text.starts_with("PAGEDU64") || text.starts_with("PAGEDUMP");
  }

  Result<SavedImage> open(const SavedFile& file) const override {
    const auto signature = file.read_as<std::array<char, 8>>(0);
    if (signature && text_of(*signature) == "PAGEDUMP") {
      return unsupported("it is a crash dump of 32-bit Windows; only those of 64-bit Windows are supported");
    }
    const auto header = file.read_as<CrashHeader>(0);
    if (!header) {
      return damaged("the Windows crash dump is cut off within its header");
    }
    const auto number = header->field<std::uint32_t>(CrashHeader::kDumpType);
    const auto type = static_cast<DumpType>(number);
    if (memory_of(type).empty() && type != DumpType::header && type != DumpType::minidump) {
      return unsupported(
          fmt::format("the Windows crash dump is of type {:#x}; supported are 1, 2, 5, 6, 8, 9 "
                      "and 0xa",
                      number));
    }
    CrashRegisters registers = crash_registers(*header);
    SavedImage image{.description = fmt::format("Windows crash dump ({} memory)", memory_of(type)),
                     .extents = {}};
    image.registers = std::move(registers.sets);
    image.registers_from = registers.from;
    return open_type(file, std::move(image), *header, type);
  }
};

} // namespace

const SavedFormat& windows_image_format() {
  static const WindowsFormat kFormat;
  return kFormat;
}

} // namespace vmemfs
