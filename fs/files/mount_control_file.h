// SPDX-License-Identifier: MIT
// `.vmemfs/control`: attaches and detaches VMs by hand.
#pragma once

#include "fs/files/command_file.h"
#include "fs/files/control_command.h"
#include "vm/discovery/attacher.h"
#include "vm/discovery/vm_finder.h"

namespace vmemfs {

class MountControlFile : public CommandFile {
public:
  /// All outlive the file.
  MountControlFile(const VmRegistry& vms, Attacher& attacher, VmFinder& finder)
      : vms_{vms}, attacher_{attacher}, finder_{finder} {}

private:
  Result<Action> prepare(std::string_view command) override;
  /// `vm DRIVER NAME`, `refused DRIVER NUMBER NAME: REASON` and `command ...` lines. Names and reasons come
  /// from outside; they are shown in printable form.
  Result<std::string> status() override;

  /// Carries out one command; returns its answer.
  Result<std::string> run(const MountCommand& command);
  Result<void> detach(const std::string& name);

  const VmRegistry& vms_;
  Attacher& attacher_;
  VmFinder& finder_;
};

} // namespace vmemfs
