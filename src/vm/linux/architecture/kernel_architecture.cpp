// SPDX-License-Identifier: MIT
#include "vm/linux/architecture/kernel_architecture.h"

namespace vmemfs {

const KernelArchitecture* architecture_of(const Vmcoreinfo& info) {
  for (const KernelArchitecture* const architecture : {&x86_64_kernels(), &aarch64_kernels()}) {
    if (architecture->space(info)) {
      return architecture;
    }
  }
  return nullptr;
}

} // namespace vmemfs
