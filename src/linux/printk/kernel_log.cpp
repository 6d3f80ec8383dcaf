// SPDX-License-Identifier: MIT
#include "linux/printk/kernel_log.h"

#include "linux/printk/log_buffer.h"
#include "linux/printk/log_ring.h"

namespace vmemfs {

Result<std::string> kernel_log(KernelMemory& memory, const Vmcoreinfo& info) {
  if (info.symbol("prb")) {
    return ring_log(memory, info);
  }
  if (info.symbol("log_buf")) {
    return buffer_log(memory, info);
  }
  return fail(ErrorKind::no_data, "linux",
              "the kernel does not say where its log is; its VMCOREINFO has neither prb nor log_buf");
}

} // namespace vmemfs
