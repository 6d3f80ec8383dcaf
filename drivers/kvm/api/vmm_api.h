// SPDX-License-Identifier: MIT
// The API of a VMM over a UNIX socket: state, pause and resume, of Firecracker (src/firecracker/swagger in
// its repository) and cloud-hypervisor (vmm/src/api/openapi).
#pragma once

#include "core/error.h"
#include "driver/driver.h"
#include "drivers/kvm/api/http_reply.h"
#include "host/process.h"

#include <chrono>
#include <string>
#include <string_view>
#include <sys/types.h>

namespace vmemfs::kvm {

/// Thread-safe. Each call is a connection of its own, which must be answered by the VM's process.
class VmmApi {
public:
  enum class Kind : unsigned char { firecracker, cloud_hypervisor };

  /// Of a call.
  static constexpr std::chrono::seconds kLimit{5};

  /// Asks which of them it is. unsupported: none. permission: the socket is another process's.
  static Result<VmmApi> open(std::string socket, pid_t pid);

  [[nodiscard]] Result<RunStatus> status() const;
  /// Idempotent.
  [[nodiscard]] Result<void> pause() const;
  [[nodiscard]] Result<void> resume() const;

  [[nodiscard]] const std::string& socket() const { return socket_; }
  [[nodiscard]] std::string_view program() const;

private:
  VmmApi(std::string socket, pid_t pid, Kind kind) : socket_{std::move(socket)}, pid_{pid}, kind_{kind} {}

  [[nodiscard]] Result<HttpReply> call(std::string_view method, std::string_view path,
                                       std::string_view body = {}) const;
  [[nodiscard]] Result<void> change(std::string_view to) const;

  std::string socket_;
  pid_t pid_;
  Kind kind_;
};

} // namespace vmemfs::kvm
