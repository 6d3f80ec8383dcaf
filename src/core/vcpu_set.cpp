// SPDX-License-Identifier: MIT
#include "core/vcpu_set.h"

#include <algorithm>
#include <fmt/format.h>
#include <iterator>

namespace vmemfs {

VcpuSet VcpuSet::first(std::uint32_t count) {
  std::vector<VcpuId> vcpus;
  for (std::uint32_t i = 0; i < std::min(count, kMaxVcpus); ++i) {
    vcpus.emplace_back(i);
  }
  return VcpuSet{std::move(vcpus)};
}

Result<VcpuSet> VcpuSet::of(std::vector<VcpuId> vcpus, std::string_view origin) {
  std::ranges::sort(vcpus);
  const auto repeated = std::ranges::unique(vcpus);
  vcpus.erase(repeated.begin(), repeated.end());
  if (!vcpus.empty() && vcpus.back().value() >= kMaxVcpus) {
    return fail(ErrorKind::source_failed, origin,
                fmt::format("a vCPU has the number {}, and at most {} vCPUs are supported",
                            vcpus.back().value(), kMaxVcpus));
  }
  return VcpuSet{std::move(vcpus)};
}

bool VcpuSet::contains(VcpuId vcpu) const { return std::ranges::binary_search(vcpus_, vcpu); }

VcpuSet VcpuSet::without(const VcpuSet& other) const {
  std::vector<VcpuId> rest;
  std::ranges::set_difference(vcpus_, other.vcpus_, std::back_inserter(rest));
  return VcpuSet{std::move(rest)};
}

std::string to_string(const VcpuSet& vcpus) {
  constexpr int kMaxRanges = 16;
  std::string text;
  int ranges = 0;
  for (auto next = vcpus.begin(); next != vcpus.end(); ++ranges) {
    if (ranges == kMaxRanges) {
      return text + ",...";
    }
    const std::uint32_t begin = next->value();
    std::uint32_t last = begin;
    for (++next; next != vcpus.end() && next->value() == last + 1; ++next) {
      ++last;
    }
    text += fmt::format("{}{}", text.empty() ? "" : ",", begin);
    if (last > begin) {
      text += fmt::format("-{}", last);
    }
  }
  return text.empty() ? "none" : text;
}

} // namespace vmemfs
