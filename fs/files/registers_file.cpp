// SPDX-License-Identifier: MIT
#include "fs/files/registers_file.h"

#include "core/register_set.h"
#include "util/log.h"

#include <utility>

namespace vmemfs {

RegistersFile::RegistersFile(const std::shared_ptr<Guest>& guest, VcpuId vcpu, std::shared_ptr<TextSize> size)
    : TextFile{[guest, vcpu]() -> Result<std::string> {
                 auto registers = guest->read_registers({&vcpu, 1});
                 if (!registers) {
                   return tl::unexpected{registers.error()};
                 }
                 return to_text(registers->front());
               },
               std::move(size)},
      guest_{guest}, vcpu_{vcpu} {}

Result<std::size_t> RegistersFile::write(std::string_view bytes, std::uint64_t /*offset*/) {
  const RegisterLayout* const layout = guest_->register_layout();
  if (layout == nullptr) { // there is nothing to parse by; the guest has the reason
    return guest_->write_registers(vcpu_, {}).map([&] { return bytes.size(); });
  }
  const auto values = parse_registers(*layout, bytes);
  if (!values) {
    log::warning("{}: vcpu {}: {}", guest_->name(), vcpu_.value(), values.error().message());
    return tl::unexpected{values.error()};
  }
  return guest_->write_registers(vcpu_, *values).map([&] { return bytes.size(); });
}

} // namespace vmemfs
