// SPDX-License-Identifier: MIT
// The run pages of some vCPUs, with their registers requested for a while.
#pragma once

#include "core/error.h"
#include "core/vcpu_set.h"
#include "drivers/kvm/vcpus/run_page.h"
#include "host/hva.h"
#include "host/process_space.h"

#include <cstddef>
#include <optional>
#include <span>
#include <sys/types.h>
#include <vector>

namespace vmemfs::kvm {

/// A vCPU and where it is found.
struct VcpuThread {
  VcpuId vcpu;
  pid_t thread = 0;            ///< that ran it last, in the pid namespace of this process; 0: none yet
  std::optional<Hva> run_page; ///< where the process has its struct kvm_run mapped

  friend bool operator==(const VcpuThread&, const VcpuThread&) = default;
};

/// The pages are as before when this is destroyed. Not thread-safe.
class RequestedPages {
public:
  RequestedPages(const ProcessSpace& space, std::span<const VcpuThread> vcpus) {
    pages_.reserve(vcpus.size());
    for (const VcpuThread& vcpu : vcpus) {
      pages_.push_back(vcpu.run_page ? std::optional{RunPage{space, *vcpu.run_page}} : std::nullopt);
    }
  }
  ~RequestedPages() {
    for (auto& page : pages_) {
      if (page) { // fails only if the program has ended or unmapped its page
        static_cast<void>(page->restore());
      }
    }
  }
  RequestedPages(const RequestedPages&) = delete;
  RequestedPages& operator=(const RequestedPages&) = delete;

  Result<void> request() {
    for (auto& page : pages_) {
      if (auto requested = page ? page->request() : Result<void>{}; !requested) {
        return requested;
      }
    }
    return {};
  }

  /// nullopt: the vCPU has none.
  [[nodiscard]] const std::optional<RunPage>& operator[](std::size_t index) const { return pages_[index]; }

private:
  std::vector<std::optional<RunPage>> pages_;
};

} // namespace vmemfs::kvm
