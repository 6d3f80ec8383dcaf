// `.vmemfs/control`: VMs are attached and detached by hand.
#pragma once

#include "fs/files/command_file.h"
#include "vm/attacher.h"
#include "vm/lookout.h"

namespace vmemfs {

class OwnControlFile : public CommandFile {
public:
  /// All outlive the file.
  OwnControlFile(const VmRegistry& vms, Attacher& attacher, const Lookout& lookout)
      : vms_{vms}, attacher_{attacher}, lookout_{lookout} {}

private:
  /// attach SPEC, detach NAME, status.
  Result<Action> prepare(std::string_view command) override;
  [[nodiscard]] Result<Action> prepare_attach(std::string_view line);
  /// `vm DRIVER NAME`, `refused DRIVER NUMBER NAME: REASON` and `command ...` lines. Names and reasons come
  /// from outside; they are shown in printable form.
  Result<std::string> status() override;

  const VmRegistry& vms_;
  Attacher& attacher_;
  const Lookout& lookout_;
};

} // namespace vmemfs
