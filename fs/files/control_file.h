// `control`: commands in, status out.
#pragma once

#include "fs/files/open_file.h"
#include "vm/vm.h"

#include <memory>
#include <mutex>
#include <string>

namespace vmemfs {

/// What the control file can be told about the mount it is in.
struct ControlContext {
  bool writable; ///< the mount was started with --writable
};

class ControlFile : public OpenFile {
public:
  ControlFile(std::shared_ptr<Vm> vm, ControlContext context) : vm_{std::move(vm)}, context_{context} {}

  /// What the last command through this handle had to say; without one, the VM's status.
  void read(Reply& reply, const ReadRequest& request) override;

  /// One command a line, carried out in turn; the first that fails ends it.
  Result<void> write(std::string_view bytes, std::uint64_t offset) override;

private:
  /// Carries one command out; what it has to say.
  Result<std::string> run(std::string_view command);

  const std::shared_ptr<Vm> vm_;
  const ControlContext context_;
  std::mutex mutex_; ///< guards all below
  std::string answer_;
  bool fresh_ = true;              ///< no command yet, so a read from the start gives the status
  std::uint64_t answer_begin_ = 0; ///< file offset at which the answer starts for this handle
};

} // namespace vmemfs
