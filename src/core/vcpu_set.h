// SPDX-License-Identifier: MIT
// The vCPUs that a VM has at one time: a set of indexes, with gaps where none is plugged in.
#pragma once

#include "core/error.h"
#include "core/gpa.h"

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace vmemfs {

/// A value: sorted, each index once. Bounded, because a source that lists vCPUs is not trusted.
class VcpuSet {
public:
  /// Indexes are below it; more than any machine type supports.
  static constexpr std::uint32_t kMaxVcpus = 8192;

  VcpuSet() = default;

  /// 0 to `count` - 1; kMaxVcpus of them at most.
  [[nodiscard]] static VcpuSet first(std::uint32_t count);

  /// In any order, repeated or not. source_failed, from `origin`, if one is not below kMaxVcpus.
  [[nodiscard]] static Result<VcpuSet> of(std::vector<VcpuId> vcpus, std::string_view origin);

  [[nodiscard]] bool contains(VcpuId vcpu) const;
  [[nodiscard]] std::size_t size() const { return vcpus_.size(); }
  [[nodiscard]] bool empty() const { return vcpus_.empty(); }
  [[nodiscard]] auto begin() const { return vcpus_.begin(); }
  [[nodiscard]] auto end() const { return vcpus_.end(); }

  /// Those that `other` does not have.
  [[nodiscard]] VcpuSet without(const VcpuSet& other) const;

  bool operator==(const VcpuSet&) const = default;

private:
  explicit VcpuSet(std::vector<VcpuId> vcpus) : vcpus_{std::move(vcpus)} {}

  std::vector<VcpuId> vcpus_; ///< sorted, without duplicates
};

/// As Linux lists CPUs: "0-1,3". Short: of many ranges the first 16, and then ",...". Empty: "none".
[[nodiscard]] std::string to_string(const VcpuSet& vcpus);

} // namespace vmemfs
