// SPDX-License-Identifier: MIT
#include "fs/files/registers_file.h"

#include "core/register_set.h"
#include "util/log.h"

namespace vmemfs {

RegistersFile::RegistersFile(const std::shared_ptr<Vm>& vm, VcpuId vcpu)
    : TextFile{[vm, vcpu]() -> Result<std::string> {
        auto registers = vm->read_registers({&vcpu, 1});
        if (!registers) {
          return tl::unexpected{registers.error()};
        }
        return to_text(registers->front());
      }},
      vm_{vm}, vcpu_{vcpu} {}

Result<std::size_t> RegistersFile::write(std::string_view bytes, std::uint64_t /*offset*/) {
  const RegisterLayout* const layout = vm_->register_layout();
  if (layout == nullptr) { // there is nothing to parse by; the VM has the reason
    return vm_->write_registers(vcpu_, {}).map([&] { return bytes.size(); });
  }
  const auto values = parse_registers(*layout, bytes);
  if (!values) {
    log::warning("{}: vcpu {}: {}", vm_->name(), vcpu_.value(), values.error().message());
    return tl::unexpected{values.error()};
  }
  return vm_->write_registers(vcpu_, *values).map([&] { return bytes.size(); });
}

} // namespace vmemfs
