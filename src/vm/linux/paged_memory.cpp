// SPDX-License-Identifier: MIT
#include "vm/linux/paged_memory.h"

#include "arch/read_entry.h"
#include "util/work_limit.h"

#include <algorithm>

namespace vmemfs {

std::optional<KernelPlace> PagedMemory::walk(const KernelPaging& paging, std::uint64_t address) {
  const ReadEntry read = [this](Gpa gpa) -> std::optional<std::uint64_t> {
    std::uint64_t entry = 0;
    ReadPiece piece{gpa, std::as_writable_bytes(std::span{&entry, 1}), 0, std::nullopt};
    memory_.copy({&piece, 1});
    return piece.done == sizeof entry ? std::optional{entry} : std::nullopt;
  };
  return vmemfs::walk(paging, address, read);
}

std::optional<Gpa> PagedMemory::translate(std::uint64_t address) {
  const auto place = walk(kernel_.paging, address);
  return place ? std::optional{place->gpa} : std::nullopt;
}

std::optional<KernelPlace> PagedMemory::place_of(std::uint64_t address) {
  const std::uint64_t in_image = address - kernel_.image_address;
  if (address >= kernel_.image_address && in_image < kernel_.image.size()) {
    return KernelPlace{kernel_.image.begin + in_image, kernel_.image.size() - in_image};
  }
  if (kernel_.direct_map) {
    const std::uint64_t in_map = address - *kernel_.direct_map;
    const std::uint64_t size = memory_.size();
    if (in_map >= kernel_.direct_map_begin.value() && in_map < size) {
      return KernelPlace{Gpa{in_map}, size - in_map};
    }
  }
  return walk(kernel_.paging, address);
}

template <typename PlaceAt>
std::size_t PagedMemory::read_places(std::uint64_t address, std::span<std::byte> buffer, PlaceAt&& place_at) {
  std::size_t done = 0;
  while (done < buffer.size() && !WorkLimit::over()) {
    const std::optional<KernelPlace> place = place_at(address + done);
    if (!place) {
      break;
    }
    const std::size_t size =
        std::min({std::uint64_t{buffer.size() - done}, place->left, std::uint64_t{AddressSpace::kMaxRead}});
    ReadPiece piece{place->gpa, buffer.subspan(done, size), 0, std::nullopt};
    memory_.copy({&piece, 1});
    done += piece.done;
    if (piece.done < size) {
      break;
    }
  }
  return done;
}

std::size_t PagedMemory::read(std::uint64_t address, std::span<std::byte> buffer) {
  return read_places(address, buffer, [this](std::uint64_t at) { return place_of(at); });
}

std::size_t PagedMemory::read_user(std::uint64_t top_table, std::uint64_t address,
                                   std::span<std::byte> buffer) {
  const auto root = place_of(top_table);
  if (!root) {
    return 0;
  }
  const KernelPaging paging = paging_of_process(kernel_.paging, root->gpa);
  return read_places(address, buffer, [&](std::uint64_t at) { return walk(paging, at); });
}

} // namespace vmemfs
