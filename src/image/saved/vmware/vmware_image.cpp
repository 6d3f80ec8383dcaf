// SPDX-License-Identifier: MIT
#include "image/saved/vmware/vmware_image.h"

#include "core/text.h"
#include "image/saved/extent_builder.h"
#include "image/saved/vmware/vmware_state.h"
#include "image/saved/vmware/vmware_tags.h"

#include <algorithm>
#include <array>
#include <filesystem>
#include <fmt/format.h>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

namespace vmemfs {
namespace {

constexpr std::string_view kMemorySuffix = ".vmem";

/// PCs of VMware have a hole in their addresses from here to 4 GiB.
constexpr std::uint64_t kPciHole = std::uint64_t{3} << 30;
/// Begin of the memory of ARM machines.
constexpr std::uint64_t kArmMemory = std::uint64_t{2} << 30;

tl::unexpected<Error> damaged(std::string text) { return fail(ErrorKind::invalid, "dump", std::move(text)); }

bool is_memory_file(std::string_view path) { return path.ends_with(kMemorySuffix); }

/// The name of the other file of a pair.
std::string other_name(const SavedFile& file, std::string_view suffix) {
  return std::filesystem::path{file.path()}.stem().string() + std::string{suffix};
}

/// Where the memory is: these bytes of a file.
struct Place {
  std::uint64_t offset;
  std::uint64_t size;
  std::uint64_t file_size;
};

Result<void> add_regions(ExtentBuilder& extents, const VmwareState& state, const Place& place) {
  if (state.regions.empty()) {
    if (state.memory_is_cut && place.size > kPciHole) {
      return damaged("the VMware state is cut off before the list of its memory regions, without which "
                     "nothing says where memory above 3 GiB is");
    }
    return extents.add(state.is_arm ? kArmMemory : 0, place.size, ExtentKind::stored, place.offset);
  }
  for (const VmwareRegion& region : state.regions) {
    if (region.size == 0) {
      continue;
    }
    if (auto added = extents.add(region.gpa, region.size, ExtentKind::stored, place.offset + region.offset);
        !added) {
      return added;
    }
  }
  return {};
}

Result<SavedImage> make_image(VmwareState state, const Place& place, std::string_view description) {
  // What is behind the memory in its file is no memory.
  ExtentBuilder extents{std::min(place.file_size, place.offset + place.size)};
  if (auto added = add_regions(extents, state, place); !added) {
    return tl::unexpected{std::move(added.error())};
  }
  SavedImage image{.description = std::string{description}, .extents = {}};
  image.problem = std::move(state.problem);
  if (!state.registers.empty()) {
    image.registers = std::move(state.registers);
    image.registers_from = "the group 'cpu' of the VMware state";
  }
  return finish_image(std::move(image), std::move(extents));
}

/// A sentence if the regions are not exactly what the file of the memory has.
std::string mismatch(const VmwareState& state, const SavedFile& memory) {
  std::uint64_t size = 0;
  for (const VmwareRegion& region : state.regions) {
    size += region.size;
  }
  return state.regions.empty() || size == memory.size()
             ? std::string{}
             : fmt::format(
                   "the .vmem has {} bytes, but the regions of its .vmss or .vmsn have {}: they may not "
                   "belong together",
                   memory.size(), size);
}

Result<SavedImage> pair_image(VmwareState state, const SavedFile& memory) {
  if (std::string text = mismatch(state, memory); !text.empty()) {
    state.problem += (state.problem.empty() ? "" : "; ") + text;
  }
  return make_image(std::move(state), {0, memory.size(), memory.size()}, "VMware state with a .vmem");
}

Result<SavedImage> open_embedded(const SavedFile& file, VmwareState state) {
  const VmwareBlock block = *state.memory;
  if (block.packed) {
    return fail(ErrorKind::unsupported, "dump",
                "the memory in the VMware state is compressed in a way that is not published; VMware's tool "
                "vmss2core may be able to convert it");
  }
  return make_image(std::move(state), {block.offset, block.size, file.size()}, "VMware state");
}

Result<SavedImage> open_state(const SavedFile& file) {
  auto state = read_vmware_state(file);
  if (!state) {
    return tl::unexpected{std::move(state.error())};
  }
  if (state->memory) {
    return open_embedded(file, std::move(*state));
  }
  const std::string name = other_name(file, kMemorySuffix);
  auto memory = file.sibling(name);
  if (!memory) {
    return fail(
        memory.error().kind, "dump",
        fmt::format("the VMware state has no memory in it, and none beside it: {}; put the .vmem of the "
                    "same name into its directory (a snapshot that was taken without memory has none)",
                    memory.error().text));
  }
  auto image = pair_image(std::move(*state), *memory);
  if (image) {
    image->memory = std::move(*memory);
  }
  return image;
}

Result<SavedImage> open_memory_alone(const SavedFile& file) {
  if (file.size() > kPciHole) {
    return damaged(fmt::format(
        "it is the memory of a VMware VM, and nothing says which part of it is above the hole below 4 GiB; "
        "put "
        "its '{}' or '{}' into its directory, or give format=raw, which is right for the first 3 GiB only",
        printable(other_name(file, ".vmss")), printable(other_name(file, ".vmsn"))));
  }
  SavedImage image{.description = "VMware .vmem without its .vmss or .vmsn", .extents = {}};
  image.extents.push_back({{Gpa{0}, Gpa{file.size()}}, ExtentKind::stored, 0});
  return image;
}

Result<SavedImage> open_memory(const SavedFile& file) {
  for (const std::string_view suffix : {".vmss", ".vmsn"}) {
    const std::string name = other_name(file, suffix);
    const auto state = file.sibling(name);
    if (!state && state.error().kind == ErrorKind::not_found) {
      continue;
    }
    auto image = state ? open_vmware_pair(*state, file) : tl::unexpected{state.error()};
    if (!image) {
      return fail(image.error().kind, "dump",
                  fmt::format("the '{}' beside it, which describes it, cannot be used: {}", printable(name),
                              image.error().text));
    }
    return image;
  }
  return open_memory_alone(file);
}

class VmwareFormat : public SavedFormat {
public:
  std::string_view name() const override { return "vmware"; }
  bool matches(std::span<const std::byte> head) const override { return is_vmware_state(head); }
  bool takes_name(std::string_view path) const override { return is_memory_file(path); }

  Result<SavedImage> open(const SavedFile& file) const override {
    return is_memory_file(file.path()) ? open_memory(file) : open_state(file);
  }
};

} // namespace

Result<SavedImage> open_vmware_pair(const SavedFile& state, const SavedFile& memory) {
  std::array<std::byte, sizeof(std::uint32_t)> head{};
  if (!is_vmware_state(std::span{head}.first(state.read(0, head)))) {
    return damaged("it does not begin as a VMware state does");
  }
  auto read = read_vmware_state(state);
  return read ? pair_image(std::move(*read), memory) : tl::unexpected{std::move(read.error())};
}

const SavedFormat& vmware_image_format() {
  static const VmwareFormat kFormat;
  return kFormat;
}

} // namespace vmemfs
