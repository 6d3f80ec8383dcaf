// SPDX-License-Identifier: MIT
// `vcpus/N/regs`: the registers of a vCPU.
#pragma once

#include "fs/files/text_file.h"
#include "vm/guest.h"

#include <memory>

namespace vmemfs {

class RegistersFile : public TextFile {
public:
  RegistersFile(const std::shared_ptr<Guest>& guest, VcpuId vcpu,
                std::shared_ptr<TextSize> size = std::make_shared<TextSize>());

  /// Lines `name 0xvalue`; every write is one change.
  Result<std::size_t> write(std::string_view bytes, std::uint64_t offset) override;

private:
  const std::shared_ptr<Guest> guest_;
  const VcpuId vcpu_;
};

} // namespace vmemfs
