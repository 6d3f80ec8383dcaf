// SPDX-License-Identifier: MIT
// `.vmemfs/control`: attaches and detaches VMs by hand.
#pragma once

#include "fs/files/control/command_file.h"
#include "fs/files/control/control_command.h"
#include "fs/files/control/last_failure.h"
#include "vm/discovery/attacher.h"
#include "vm/discovery/vm_finder.h"

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <utility>

namespace vmemfs {

/// `vm DRIVER NAME`, `refused DRIVER NUMBER NAME: REASON`, `last_error` and `command ...` lines. Names and
/// reasons come from outside; they are shown in printable form. Asks nobody.
[[nodiscard]] std::string mount_status_text(const VmRegistry& vms, const VmFinder& finder,
                                            const LastFailure& failure);

class MountControlFile : public CommandFile {
public:
  /// The references outlive the file.
  MountControlFile(const VmRegistry& vms, Attacher& attacher, VmFinder& finder,
                   std::shared_ptr<LastFailure> failure,
                   std::shared_ptr<TextSize> size = std::make_shared<TextSize>())
      : CommandFile{std::move(size)}, vms_{vms}, attacher_{attacher}, finder_{finder},
        failure_{std::move(failure)} {}

  Result<std::size_t> write(std::string_view bytes, std::uint64_t offset) override;

private:
  Result<Action> prepare(std::string_view command) override;
  Result<std::string> status() override { return mount_status_text(vms_, finder_, *failure_); }

  /// Carries out one command; returns its answer.
  Result<std::string> run(const MountCommand& command);
  Result<void> detach(const std::string& name);

  const VmRegistry& vms_;
  Attacher& attacher_;
  VmFinder& finder_;
  const std::shared_ptr<LastFailure> failure_;
};

} // namespace vmemfs
