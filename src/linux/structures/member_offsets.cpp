// SPDX-License-Identifier: MIT
#include "linux/structures/member_offsets.h"

#include <fmt/format.h>

namespace vmemfs {
namespace {

std::optional<std::uint64_t> size_of(const btf::Types& types, std::string_view structure) {
  const auto type = types.find(btf::Kind::structure, structure);
  const auto size = type ? types.size_of(*type) : std::nullopt;
  return size && *size <= MemberOffsets::kMaxStructure ? size : std::nullopt;
}

} // namespace

std::uint64_t MemberOffsets::size(std::string_view structure) {
  const auto found = size_of(types_, structure);
  if (!found) {
    note_missing(structure);
  }
  return found.value_or(0);
}

std::uint64_t MemberOffsets::offset(std::string_view structure, std::string_view path, std::uint64_t bytes) {
  const auto found = find(structure, path, bytes);
  if (!found) {
    note_missing(structure, path);
  }
  return found.value_or(0);
}

std::optional<std::uint64_t> MemberOffsets::find(std::string_view structure, std::string_view path,
                                                 std::uint64_t bytes) const {
  const auto size = size_of(types_, structure);
  const auto field = types_.field(structure, path);
  if (!size || !field || field->size != bytes || bytes > *size || field->offset > *size - bytes) {
    return std::nullopt;
  }
  return field->offset;
}

void MemberOffsets::note_missing(std::string_view structure, std::string_view path) {
  if (missing_.empty()) {
    missing_ = path.empty() ? fmt::format("struct {}", structure) : fmt::format("{}.{}", structure, path);
  }
}

Result<void> MemberOffsets::check() const {
  if (!missing_.empty()) {
    return fail(ErrorKind::no_data, "linux",
                fmt::format("the kernel's types do not have {} in a known form", missing_));
  }
  return {};
}

} // namespace vmemfs
