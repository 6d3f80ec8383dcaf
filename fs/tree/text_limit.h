// SPDX-License-Identifier: MIT
// The limit of a VM's texts: what all open files of the VM show together.
#pragma once

#include "fs/files/text_file.h"
#include "vm/vm.h"

#include <cstddef>
#include <memory>

namespace vmemfs {

[[nodiscard]] inline TextFile::Limit limit_of(const std::shared_ptr<Vm>& vm) {
  return [vm](const std::shared_ptr<const void>& text, std::size_t bytes) {
    return vm->guest().shown_texts().add(text, bytes);
  };
}

} // namespace vmemfs
