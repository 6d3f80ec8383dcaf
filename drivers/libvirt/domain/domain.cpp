// SPDX-License-Identifier: MIT
#include "drivers/libvirt/domain/domain.h"

#include "core/text.h"
#include "drivers/libvirt/domain/domain_state.h"
#include "drivers/libvirt/domain/resume_ticket.h"

#include <array>
#include <fmt/format.h>
#include <libvirt/libvirt-qemu.h>
#include <libvirt/virterror.h>
#include <limits>
#include <utility>

namespace vmemfs::libvirt {
namespace {

DomainHandle look_up(const Link& link, const std::string& wanted) {
  if (auto by_uuid = adopt(virDomainLookupByUUIDString(link.get(), wanted.c_str()))) {
    return by_uuid;
  }
  if (auto by_name = adopt(virDomainLookupByName(link.get(), wanted.c_str()))) {
    return by_name;
  }
  const auto id = parse_u64(wanted);
  return id && *id <= std::numeric_limits<int>::max()
             ? adopt(virDomainLookupByID(link.get(), static_cast<int>(*id)))
             : nullptr;
}

} // namespace

Domain::Domain(std::shared_ptr<Connection> connection, DomainRun run, bool host_in_name)
    : connection_{std::move(connection)}, run_{std::move(run)}, host_in_name_{host_in_name},
      calls_{fmt::format("domain '{}'", printable(run_.name.empty() ? run_.uuid : run_.name)),
             connection_->slots()} {}

Result<std::shared_ptr<Domain>> Domain::find(std::shared_ptr<Connection> connection,
                                             const std::string& wanted, std::chrono::milliseconds limit,
                                             bool host_in_name) {
  const auto link = connection->wait_for_link(limit);
  if (!link) {
    return tl::unexpected{link.error()};
  }
  const DomainHandle handle = look_up(*link, wanted);
  if (handle == nullptr && !last_failure_is(VIR_ERR_NO_DOMAIN) && !last_failure_is(VIR_ERR_INVALID_ARG)) {
    return fail_vir(fmt::format("cannot look up domain '{}'", printable(wanted)));
  }
  const int id = handle != nullptr ? static_cast<int>(virDomainGetID(handle.get())) : -1;
  std::array<char, VIR_UUID_STRING_BUFLEN> uuid{};
  if (id < 0 || virDomainGetUUIDString(handle.get(), uuid.data()) != 0) {
    return fail(
        ErrorKind::not_found, kOrigin,
        fmt::format("no domain '{}' runs at {}; `virsh{} list` shows those that do, `virsh start` starts one",
                    printable(wanted), name_of_uri(connection->uri()),
                    connection->uri().empty() ? "" : " -c " + printable(connection->uri())));
  }
  const char* const name = virDomainGetName(handle.get());
  return std::make_shared<Domain>(std::move(connection),
                                  DomainRun{uuid.data(), name != nullptr ? name : "", id}, host_in_name);
}

Result<DomainHandle> Domain::handle() {
  const auto link = connection_->link();
  if (!link) {
    return tl::unexpected{link.error()};
  }
  {
    const MutexLock lock{mutex_};
    if (handle_ != nullptr && link_.lock() == *link) {
      return handle_;
    }
  }
  DomainHandle fresh = adopt(virDomainLookupByUUIDString(link->get(), run_.uuid.c_str()));
  if (fresh == nullptr && !last_failure_is(VIR_ERR_NO_DOMAIN)) {
    return fail_vir(fmt::format("cannot look up domain {}", run_.uuid));
  }
  if (fresh == nullptr || static_cast<int>(virDomainGetID(fresh.get())) != run_.id) {
    return fail(ErrorKind::vm_gone, kOrigin, "the domain has ended");
  }
  const MutexLock lock{mutex_};
  handle_ = fresh;
  link_ = *link;
  return fresh;
}

template <typename T> Result<T> Domain::limited(std::function<Result<T>(Domain&, const DomainHandle&)> call) {
  return calls_.make<T>([self = shared_from_this(), call = std::move(call)]() -> Result<T> {
    return self->handle().and_then([&](const DomainHandle& domain) { return call(*self, domain); });
  });
}

/// After a failed call of libvirt: if there is no such domain any more, the domain has ended.
tl::unexpected<Error> Domain::failed(std::string_view what) const {
  const bool over = last_failure_is(VIR_ERR_NO_DOMAIN);
  auto error = fail_vir(fmt::format("{} '{}'", what, printable(run_.name)));
  error.value().kind = over ? ErrorKind::vm_gone : error.value().kind;
  return error;
}

Result<std::shared_ptr<std::byte[]>> Domain::peek(GpaRange range) {
  using Bytes = std::shared_ptr<std::byte[]>;
  return limited<Bytes>([range](Domain& self, const DomainHandle& domain) -> Result<Bytes> {
    auto bytes = std::make_shared_for_overwrite<std::byte[]>(range.size());
    if (virDomainMemoryPeek(domain.get(), range.begin.value(), range.size(), bytes.get(),
                            VIR_MEMORY_PHYSICAL) < 0) {
      return self.failed(
          fmt::format("cannot read {} bytes at {:#x} of domain", range.size(), range.begin.value()));
    }
    return bytes;
  });
}

Result<std::string> Domain::xml() {
  return limited<std::string>([](Domain& self, const DomainHandle& domain) -> Result<std::string> {
    char* const text = virDomainGetXMLDesc(domain.get(), 0);
    if (text == nullptr) {
      return self.failed("cannot read the description of domain");
    }
    return taken(text);
  });
}

Result<std::string> Domain::human_monitor(const std::string& line) {
  return limited<std::string>([line](Domain& self, const DomainHandle& domain) -> Result<std::string> {
    char* answer = nullptr;
    if (virDomainQemuMonitorCommand(domain.get(), line.c_str(), &answer,
                                    VIR_DOMAIN_QEMU_MONITOR_COMMAND_HMP) < 0 ||
        answer == nullptr) {
      return self.failed(fmt::format("cannot pass the monitor command '{}' to domain", line));
    }
    return taken(answer);
  });
}

Result<RunStatus> Domain::status_by(const DomainHandle& domain) const {
  int state = 0;
  int reason = 0;
  if (virDomainGetState(domain.get(), &state, &reason, 0) < 0) {
    return failed("cannot get the state of domain");
  }
  return status_of(state, reason);
}

Result<RunStatus> Domain::run_status() {
  return limited<RunStatus>(
      [](Domain& self, const DomainHandle& domain) -> Result<RunStatus> { return self.status_by(domain); });
}

Result<RunStatus> Domain::pause() {
  return limited<RunStatus>([](Domain& self, const DomainHandle& domain) -> Result<RunStatus> {
    if (virDomainSuspend(domain.get()) < 0) {
      return self.failed("cannot suspend domain");
    }
    return self.status_by(domain);
  });
}

/// libvirt refuses to resume a running domain.
Result<RunStatus> Domain::resume() {
  return limited<RunStatus>([](Domain& self, const DomainHandle& domain) -> Result<RunStatus> {
    if (virDomainResume(domain.get()) == 0) {
      return self.status_by(domain);
    }
    auto error = self.failed("cannot resume domain");
    auto status = self.status_by(domain);
    return status && status->running ? std::move(status) : error;
  });
}

VmIdentity Domain::identity(std::string key) const {
  return {host_in_name_ ? name_with_host(*connection_, run_) : run_.name, run_.uuid, std::string{kOrigin},
          std::move(key)};
}

std::string name_with_host(const Connection& connection, const DomainRun& run) {
  return fmt::format("{}:{}", connection.host(), run.name);
}

std::string Domain::resume_ticket() const { return to_text(ResumeTicket{connection_->uri(), run_}); }

} // namespace vmemfs::libvirt
