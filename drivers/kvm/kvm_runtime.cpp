// SPDX-License-Identifier: MIT
#include "drivers/kvm/kvm_runtime.h"

namespace vmemfs::kvm {

KvmRuntime::KvmRuntime() : walk_{VmWalk::load()} {}

Result<const VmWalk*> KvmRuntime::walk() const {
  return walk_ ? Result<const VmWalk*>{walk_->get()} : tl::unexpected{walk_.error()};
}

std::shared_ptr<const KvmRuntime> kvm_runtime(const std::shared_ptr<DriverRuntime>& runtime) {
  return runtime != nullptr ? std::static_pointer_cast<const KvmRuntime>(runtime)
                            : std::make_shared<const KvmRuntime>();
}

} // namespace vmemfs::kvm
