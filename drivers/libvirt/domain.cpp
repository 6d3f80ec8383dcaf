#include "drivers/libvirt/domain.h"

#include "core/text.h"
#include "drivers/libvirt/domain_state.h"
#include "drivers/libvirt/resume_ticket.h"

#include <array>
#include <fmt/format.h>
#include <libvirt/libvirt-qemu.h>
#include <libvirt/virterror.h>
#include <limits>
#include <utility>

namespace vmemfs::libvirt {
namespace {

DomainHandle look_up(const Link& link, const std::string& wanted) {
  if (auto by_uuid = own(virDomainLookupByUUIDString(link.get(), wanted.c_str()))) {
    return by_uuid;
  }
  if (auto by_name = own(virDomainLookupByName(link.get(), wanted.c_str()))) {
    return by_name;
  }
  const auto id = parse_u64(wanted);
  return id && *id <= std::numeric_limits<int>::max()
             ? own(virDomainLookupByID(link.get(), static_cast<int>(*id)))
             : nullptr;
}

} // namespace

Result<std::unique_ptr<Domain>> Domain::find(std::shared_ptr<Connection> connection,
                                             const std::string& wanted, std::chrono::milliseconds limit,
                                             bool host_in_name) {
  const auto link = connection->wait_for_link(limit);
  if (!link) {
    return tl::unexpected{link.error()};
  }
  const DomainHandle handle = look_up(*link, wanted);
  if (handle == nullptr && !last_failure_is(VIR_ERR_NO_DOMAIN) && !last_failure_is(VIR_ERR_INVALID_ARG)) {
    return fail_vir(fmt::format("can't look for domain '{}'", printable(wanted)));
  }
  const int id = handle != nullptr ? static_cast<int>(virDomainGetID(handle.get())) : -1;
  std::array<char, VIR_UUID_STRING_BUFLEN> uuid{};
  if (id < 0 || virDomainGetUUIDString(handle.get(), uuid.data()) != 0) {
    return fail(
        ErrorKind::not_found, kOrigin,
        fmt::format("no domain '{}' runs at {}; `virsh -c {} list` shows those that do, `virsh start` "
                    "starts one",
                    printable(wanted), printable(connection->uri()), printable(connection->uri())));
  }
  const char* const name = virDomainGetName(handle.get());
  return std::make_unique<Domain>(std::move(connection),
                                  DomainRun{uuid.data(), name != nullptr ? name : "", id}, host_in_name);
}

Result<DomainHandle> Domain::handle() {
  const auto link = connection_->link();
  if (!link) {
    return tl::unexpected{link.error()};
  }
  {
    const std::scoped_lock lock{mutex_};
    if (handle_ != nullptr && link_.lock() == *link) {
      return handle_;
    }
  }
  DomainHandle fresh = own(virDomainLookupByUUIDString(link->get(), run_.uuid.c_str()));
  if (fresh == nullptr && !last_failure_is(VIR_ERR_NO_DOMAIN)) {
    return fail_vir(fmt::format("can't look for domain {}", run_.uuid));
  }
  if (fresh == nullptr || static_cast<int>(virDomainGetID(fresh.get())) != run_.id) {
    return fail(ErrorKind::vm_gone, kOrigin, "the domain has ended");
  }
  const std::scoped_lock lock{mutex_};
  handle_ = fresh;
  link_ = *link;
  return fresh;
}

/// After a call of libvirt: that there is no such domain any more says that it has ended.
tl::unexpected<Error> Domain::failed(std::string_view what) {
  const bool over = last_failure_is(VIR_ERR_NO_DOMAIN);
  auto error = fail_vir(fmt::format("{} '{}'", what, printable(run_.name)));
  error.value().kind = over ? ErrorKind::vm_gone : error.value().kind;
  return error;
}

Result<std::string> Domain::xml() {
  return handle().and_then([&](const DomainHandle& domain) -> Result<std::string> {
    char* const text = virDomainGetXMLDesc(domain.get(), 0);
    if (text == nullptr) {
      return failed("can't read the description of domain");
    }
    return taken(text);
  });
}

Result<std::string> Domain::human_monitor(const std::string& line) {
  return handle().and_then([&](const DomainHandle& domain) -> Result<std::string> {
    char* answer = nullptr;
    if (virDomainQemuMonitorCommand(domain.get(), line.c_str(), &answer,
                                    VIR_DOMAIN_QEMU_MONITOR_COMMAND_HMP) < 0 ||
        answer == nullptr) {
      return failed(fmt::format("monitor command '{}' did not get through to domain", line));
    }
    return taken(answer);
  });
}

Result<RunStatus> Domain::run_status() {
  return handle().and_then([&](const DomainHandle& domain) -> Result<RunStatus> {
    int state = 0;
    int reason = 0;
    if (virDomainGetState(domain.get(), &state, &reason, 0) < 0) {
      return failed("can't ask for the state of domain");
    }
    return status_of(state, reason);
  });
}

Result<void> Domain::pause() {
  return handle().and_then([&](const DomainHandle& domain) -> Result<void> {
    if (virDomainSuspend(domain.get()) < 0) {
      return failed("can't suspend domain");
    }
    return {};
  });
}

/// libvirt refuses to resume what runs.
Result<void> Domain::resume() {
  return handle().and_then([&](const DomainHandle& domain) -> Result<void> {
    if (virDomainResume(domain.get()) == 0) {
      return {};
    }
    auto error = failed("can't resume domain");
    const auto status = run_status();
    return status && status->running ? Result<void>{} : error;
  });
}

VmIdentity Domain::identity(std::string key) const {
  return {host_in_name_ ? name_with_host(*connection_, run_) : run_.name, run_.uuid, std::string{kOrigin},
          std::move(key)};
}

std::string name_with_host(const Connection& connection, const DomainRun& run) {
  return fmt::format("{}:{}", connection.host(), run.name);
}

std::string run_key(const Connection& connection, const DomainRun& run) {
  return fmt::format("libvirt {} {}.{}", connection.uri(), run.uuid, run.id);
}

std::string Domain::resume_ticket() const { return to_text(ResumeTicket{connection_->uri(), run_}); }

} // namespace vmemfs::libvirt
