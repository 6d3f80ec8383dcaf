// SPDX-License-Identifier: MIT
#include "drivers/dump/dump_driver.h"

#include "driver/kit/read_pieces.h"
#include "image/saved/saved_formats.h"

#include <algorithm>
#include <filesystem>
#include <fmt/format.h>
#include <iterator>
#include <new>
#include <utility>

namespace vmemfs {
namespace {

constexpr std::uint64_t kFourGiB = std::uint64_t{4} << 30;
constexpr std::uint64_t kMaxFirmware = std::uint64_t{16} << 20;

/// Formats do not tell firmware from RAM. On PCs it ends at 4 GiB; as RAM it would make `mem` 4 GiB large.
RegionKind kind_of(const Region& region) {
  const bool firmware = region.range.end.value() == kFourGiB && region.range.size() <= kMaxFirmware &&
                        region.range.begin != Gpa{0};
  return firmware ? RegionKind::rom : RegionKind::ram;
}

Result<MemoryMap> map_of(const SavedImage& image, const std::string& name) {
  std::vector<Region> regions;
  for (const Extent& extent : image.extents) {
    if (!regions.empty() && regions.back().range.end == extent.range.begin &&
        regions.back().block_offset + regions.back().range.size() == extent.offset) {
      regions.back().range.end = extent.range.end;
    } else {
      regions.push_back({extent.range, RegionKind::ram, false, 0, extent.offset});
    }
  }
  if (regions.size() > 1) {
    for (Region& region : regions) {
      region.kind = kind_of(region);
    }
  }
  return MemoryMap::build(std::move(regions), {name});
}

} // namespace

DumpDriver::DumpDriver(SavedFile file, SavedImage image, VmIdentity identity,
                       std::shared_ptr<const MemoryMap> map, std::shared_ptr<WatchedFile> watched)
    : file_{std::move(file)}, image_{std::move(image)}, identity_{std::move(identity)}, map_{std::move(map)},
      watched_{std::move(watched)} {}

DumpDriver::~DumpDriver() {
  if (watched_ != nullptr) {
    watched_->set_listener(this, nullptr);
  }
}

// The tables of a large file take memory, and there may be a limit for this process.
Result<std::unique_ptr<DumpDriver>> DumpDriver::open(const std::string& path, std::string_view format,
                                                     std::shared_ptr<WatchedFile> watched) {
  try {
    return try_open(path, format, std::move(watched));
  } catch (const std::bad_alloc&) {
    return fail(ErrorKind::source_failed, "dump",
                fmt::format("not enough memory for the tables of '{}'", path));
  }
}

Result<std::unique_ptr<DumpDriver>> DumpDriver::try_open(const std::string& path, std::string_view format,
                                                         std::shared_ptr<WatchedFile> watched) {
  auto file = SavedFile::open(path);
  if (!file) {
    return tl::unexpected{file.error()};
  }
  // Who may write the directory could name another file by a symbolic link meanwhile.
  if (watched != nullptr && file->version() != watched->version()) {
    return fail(ErrorKind::invalid, "dump",
                fmt::format("'{}' was changed since it was found in its directory; it is found again", path));
  }
  auto image = open_image(*file, format);
  if (!image) {
    Error error = std::move(image.error());
    error.text = fmt::format("cannot use '{}': {}", path, error.text);
    return tl::unexpected{std::move(error)};
  }
  const std::string name = std::filesystem::path{path}.filename();
  const SavedFile& stored = image->memory ? *image->memory : *file;
  auto map = map_of(*image, std::filesystem::path{stored.path()}.filename());
  if (!map) {
    return tl::unexpected{map.error()};
  }
  VmIdentity identity{name, "", "dump", watched ? watched->key() : "", "", image->release};
  return std::unique_ptr<DumpDriver>{new DumpDriver{std::move(*file), std::move(*image), std::move(identity),
                                                    std::make_shared<const MemoryMap>(std::move(*map)),
                                                    std::move(watched)}};
}

void DumpDriver::set_listener(VmListener* listener) {
  if (watched_ != nullptr) {
    watched_->set_listener(this, listener);
  }
}

void DumpDriver::read(std::span<ReadPiece> pieces) {
  if (gone()) {
    fail_pieces(pieces, ErrorKind::vm_gone);
    return;
  }
  for (ReadPiece& piece : pieces) {
    read_piece(piece);
  }
}

void DumpDriver::read_piece(ReadPiece& piece) const {
  piece.done = 0;
  piece.failure.reset();
  while (piece.done < piece.buffer.size()) {
    const Gpa here = piece.gpa + piece.done;
    const Extent* const extent = find_extent(here);
    if (extent == nullptr) {
      piece.failure = ErrorKind::hole;
      return;
    }
    const std::size_t wanted = static_cast<std::size_t>(
        std::min<std::uint64_t>(piece.buffer.size() - piece.done, extent->range.end - here));
    const auto count = read_extent(*extent, here, piece.buffer.subspan(piece.done, wanted));
    if (!count) {
      piece.failure = count.error();
      return;
    }
    piece.done += *count;
  }
}

tl::expected<std::size_t, ErrorKind> DumpDriver::read_extent(const Extent& extent, Gpa gpa,
                                                             std::span<std::byte> to) const {
  switch (extent.kind) {
  case ExtentKind::absent: return tl::unexpected{ErrorKind::bad_page};
  case ExtentKind::packed: return image_.decoder->read(file_, gpa, to);
  case ExtentKind::zero: std::ranges::fill(to, std::byte{0}); return to.size();
  case ExtentKind::stored: break;
  }
  const SavedFile& stored = image_.memory ? *image_.memory : file_;
  const std::size_t count = stored.read(extent.offset + (gpa - extent.range.begin), to);
  // Nothing: such as of a file that was cut after it was opened.
  return count > 0 ? tl::expected<std::size_t, ErrorKind>{count} : tl::unexpected{ErrorKind::source_failed};
}

const Extent* DumpDriver::find_extent(Gpa gpa) const {
  const auto next = std::ranges::upper_bound(image_.extents, gpa, {},
                                             [](const Extent& extent) { return extent.range.begin; });
  if (next == image_.extents.begin() || !std::prev(next)->range.contains(gpa)) {
    return nullptr;
  }
  return &*std::prev(next);
}

Result<std::vector<RegisterSet>> DumpDriver::read_registers(std::span<const VcpuId> vcpus) {
  std::vector<RegisterSet> sets;
  sets.reserve(vcpus.size());
  for (const VcpuId vcpu : vcpus) {
    if (vcpu.value() >= image_.registers.size()) {
      return fail(ErrorKind::not_found, "dump", fmt::format("the file has no vCPU {}", vcpu.value()));
    }
    sets.push_back(image_.registers[vcpu.value()]);
  }
  return sets;
}

ReadCost DumpDriver::read_cost() const {
  if (!image_.decoder) { // in the kernel's page cache, where a read costs next to nothing
    return {};
  }
  const auto [read, page] = image_.decoder->cost();
  return {.call = read, .page = page};
}

AccessReport DumpDriver::access() const {
  const std::string registers = image_.registers.empty()
                                    ? fmt::format("none: this {} has no registers", image_.description)
                                    : fmt::format("{} in the file", image_.registers_from);
  return {fmt::format("{}, {} range{}", image_.description, map_->regions().size(),
                      map_->regions().size() == 1 ? "" : "s"),
          read_cost().page.count() == 0 ? "pread of the file" : "pread of the file, decompressed", registers,
          "none: saved memory does not run", "none: saved memory is read only"};
}

std::vector<ProbeResult> DumpDriver::probe() const {
  std::vector<ProbeResult> results;
  if (image_.first_missing) {
    results.push_back({"whole file", false,
                       fmt::format("the file is cut off; the first missing guest physical address is {:#x}",
                                   image_.first_missing->value())});
  }
  if (!image_.problem.empty()) {
    results.push_back({"undamaged file", false, image_.problem});
  }
  return results;
}

} // namespace vmemfs
