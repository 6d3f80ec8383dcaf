// SPDX-License-Identifier: MIT
// Real QEMU as a child process that ends with its owner, with a monitor client that shares no code with the
// tested driver.
#pragma once

#include "support/files.h"
#include "util/unique_fd.h"

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <sys/types.h>
#include <vector>

namespace vmemfs::qemu {

enum class Accelerator { tcg, kvm };

/// True if tests with a real QEMU and this accelerator can run.
[[nodiscard]] bool have_qemu(Accelerator accelerator = Accelerator::tcg);

class QemuChild {
public:
  /// Starts `-nodefaults -display none -m 64`, a QMP socket and `arguments`, and waits until the monitors
  /// answer. The arguments "LONG_MODE" and "REAL_MODE" are replaced by files with that firmware.
  explicit QemuChild(const std::vector<std::string>& arguments = {},
                     Accelerator accelerator = Accelerator::tcg);
  ~QemuChild();
  QemuChild(const QemuChild&) = delete;
  QemuChild& operator=(const QemuChild&) = delete;

  [[nodiscard]] std::string qmp_path() const { return directory_ / "qmp"; }
  [[nodiscard]] pid_t pid() const { return pid_; }
  [[nodiscard]] const test::TempDir& directory() const { return directory_; }

  /// The output of a command of the human monitor, over the test's own connection.
  std::string ask(const std::string& command);

  /// Value after "NAME=" in `info registers -a`.
  std::optional<std::uint64_t> register_of(unsigned vcpu, const std::string& name);

  [[nodiscard]] bool paused() { return ask("info status").find("paused") != std::string::npos; }
  /// Number of QEMU's open files, as soon as it is constant for a moment: QEMU closes the connection of a
  /// client some time after the client has disconnected.
  [[nodiscard]] std::size_t settled_open_files() const;
  [[nodiscard]] std::size_t open_files() const;

private:
  std::string read_to_prompt();

  test::TempDir directory_;
  pid_t pid_ = -1;
  UniqueFd human_;
};

/// A QEMU (TCG) that runs long_mode_firmware() with two vCPUs and has reached 64-bit mode.
class LongModeQemu : public QemuChild {
public:
  LongModeQemu();
};

} // namespace vmemfs::qemu
