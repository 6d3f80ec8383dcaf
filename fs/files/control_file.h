// `control`: commands in, status out.
#pragma once

#include "fs/files/control_command.h"
#include "fs/files/open_file.h"
#include "vm/vm.h"

#include <memory>
#include <mutex>
#include <optional>
#include <string>

namespace vmemfs {

class ControlFile : public OpenFile {
public:
  explicit ControlFile(std::shared_ptr<Vm> vm) : vm_{std::move(vm)} {}
  ~ControlFile() override; ///< ends this handle's hold
  ControlFile(const ControlFile&) = delete;
  ControlFile& operator=(const ControlFile&) = delete;

  /// What the last command through this handle had to say; without one, the VM's status.
  void read(Reply& reply, const ReadRequest& request) override;

  /// One command a line. If any of them is malformed none is carried out. They are carried out in turn; where
  /// one fails, those before it count as written, so that the writer's next attempt starts with it.
  Result<std::size_t> write(std::string_view bytes, std::uint64_t offset) override;

private:
  /// Carries one command out; what it has to say.
  Result<std::string> run(const ControlCommand& command);
  Result<std::string> hold();
  Result<std::size_t> run_all(std::string_view bytes);

  const std::shared_ptr<Vm> vm_;
  std::mutex mutex_; ///< guards all below
  std::optional<HoldId> hold_;
  std::string answer_;
  bool fresh_ = true;              ///< no command yet, so a read from the start gives the status
  std::uint64_t answer_begin_ = 0; ///< file offset at which the answer starts for this handle
};

} // namespace vmemfs
