// SPDX-License-Identifier: MIT
// `control`: commands in, status out.
#pragma once

#include "fs/files/control/command_file.h"
#include "fs/files/control/control_command.h"
#include "vm/vm.h"

#include <memory>
#include <optional>
#include <string>
#include <utility>

namespace vmemfs {

class ControlFile : public CommandFile {
public:
  explicit ControlFile(std::shared_ptr<Vm> vm, std::shared_ptr<TextSize> size = std::make_shared<TextSize>())
      : CommandFile{std::move(size)}, vm_{std::move(vm)} {}
  ~ControlFile() override; ///< ends this handle's hold
  ControlFile(const ControlFile&) = delete;
  ControlFile& operator=(const ControlFile&) = delete;

private:
  Result<Action> prepare(std::string_view command) override;
  void note_malformed(const Error& error) override;
  Result<std::string> status() override;
  Result<std::string> short_status() override;
  bool gone() const override { return vm_->gone(); }

  /// Carries out one command; returns its answer.
  Result<std::string> run(const VmCommand& command);
  Result<std::string> hold();

  const std::shared_ptr<Vm> vm_;
  std::optional<HoldId> hold_;
  std::string state_; ///< of the last status
};

} // namespace vmemfs
