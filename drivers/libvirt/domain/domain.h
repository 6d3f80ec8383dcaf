// SPDX-License-Identifier: MIT
// One run of a domain, over the current connection, and its run control.
#pragma once

#include "core/gpa.h"
#include "driver/driver.h"
#include "drivers/libvirt/connection/connection.h"
#include "drivers/libvirt/connection/limited_calls.h"
#include "util/mutex.h"

#include <cstddef>
#include <functional>
#include <memory>
#include <string>
#include <string_view>

namespace vmemfs::libvirt {

/// Thread-safe. Every call may wait for the daemon: up to twice LimitedCalls::kLimit; find() up to
/// kDeadAfter beyond its own limit. vm_gone: this run is over. Held by shared_ptr, as an
/// abandoned call keeps a reference to it.
class Domain final : public RunControl, public std::enable_shared_from_this<Domain> {
public:
  Domain(std::shared_ptr<Connection> connection, DomainRun run, bool host_in_name = false);

  /// The running domain that `wanted` names, by uuid, name or id. not_found: there is none, or it is not
  /// running.
  static Result<std::shared_ptr<Domain>> find(std::shared_ptr<Connection> connection,
                                              const std::string& wanted, std::chrono::milliseconds limit,
                                              bool host_in_name);

  [[nodiscard]] const DomainRun& run() const { return run_; }
  [[nodiscard]] VmIdentity identity(std::string key) const;
  [[nodiscard]] Connection& connection() const { return *connection_; }

  /// Reads guest physical memory, up to 4 MiB.
  [[nodiscard]] Result<std::shared_ptr<std::byte[]>> peek(GpaRange range);
  /// The description of the running domain. Not trusted.
  [[nodiscard]] Result<std::string> xml();
  /// Executes a command of QEMU's human monitor through libvirt, which marks the domain as tainted.
  [[nodiscard]] Result<std::string> human_monitor(const std::string& line);

  Result<RunStatus> run_status() override;
  Result<RunStatus> pause() override;
  Result<RunStatus> resume() override;
  std::string resume_ticket() const override;

private:
  /// `call` runs on another thread, see LimitedCalls.
  template <typename T> Result<T> limited(std::function<Result<T>(Domain&, const DomainHandle&)> call);
  [[nodiscard]] Result<DomainHandle> handle();
  [[nodiscard]] Result<RunStatus> status_by(const DomainHandle& domain) const;
  [[nodiscard]] tl::unexpected<Error> failed(std::string_view what) const;

  const std::shared_ptr<Connection> connection_;
  const DomainRun run_;
  const bool host_in_name_;
  LimitedCalls calls_;
  Mutex mutex_; ///< never held during a call of libvirt
  DomainHandle handle_ GUARDED_BY(mutex_);
  std::weak_ptr<virConnect> link_ GUARDED_BY(mutex_); ///< the connection of handle_
};

/// The VM's name if it is to include its host's.
[[nodiscard]] std::string name_with_host(const Connection& connection, const DomainRun& run);

} // namespace vmemfs::libvirt
