// SPDX-License-Identifier: MIT
#include "drivers/libvirt/libvirt_type.h"

#include "core/text.h"
#include "drivers/libvirt/connection/connections.h"
#include "drivers/libvirt/connection/default_uri.h"
#include "drivers/libvirt/domain/domain.h"
#include "drivers/libvirt/domain/domain_process.h"
#include "drivers/libvirt/domain/resume_orphan.h"
#include "drivers/libvirt/libvirt_checks.h"
#include "drivers/libvirt/libvirt_discovery.h"
#include "drivers/libvirt/local_domain.h"
#include "drivers/libvirt/remote/remote_domain.h"
#include "util/work_limit.h"

#include <algorithm>
#include <chrono>
#include <fmt/format.h>
#include <linux/capability.h>
#include <unistd.h>
#include <utility>
#include <vector>

namespace vmemfs {
namespace {

using libvirt::Connections;
using libvirt::ConnectionUri;
using libvirt::Domain;

/// For a domain that was found; as long as reading its map and measuring its speed may take together.
constexpr std::chrono::milliseconds kAttachTime = 3 * libvirt::LimitedCalls::kLimit;

const std::vector<ParamSpec>& specs() {
  static const std::vector<ParamSpec> kSpecs{
      {"uri", ParamType::text, false, "", "the connection; without it the one that virsh would take",
       "qemu:///system"},
      {.name = "domain",
       .type = ParamType::text,
       .required = true,
       .help = "the domain's name, uuid or id; it must run",
       .example = "web01",
       .names_vm = true},
      {"memory",
       ParamType::choice,
       false,
       "auto",
       "how memory is read: in the domain's process if it runs on this host, otherwise through libvirt "
       "(peek), which auto does not use if reading would allocate memory of the guest",
       "peek",
       {"auto", "process", "peek"}},
      {"passthrough", ParamType::flag, false, "off",
       "ask QEMU's monitor through libvirt: gives registers, and the exact memory map of a remote domain; "
       "libvirt marks the domain as tainted for it",
       "on"},
      {"host", ParamType::flag, false, "off", "the VM's name begins with its host's", "on"},
      {"timeout", ParamType::duration, false, "10s", "how long to wait for the connection", "30s"},
  };
  return kSpecs;
}

/// The parameters that a discovery passes on to the VMs that it finds.
const std::vector<ParamSpec>& discovery_specs() {
  static const std::vector<ParamSpec> kSpecs = [] {
    std::vector<ParamSpec> all = specs();
    std::erase_if(all, [](const ParamSpec& spec) { return spec.name == "domain" || spec.name == "timeout"; });
    return all;
  }();
  return kSpecs;
}

/// The mount's connections; new ones outside of a mount.
std::shared_ptr<Connections> connections_of(const std::shared_ptr<DriverRuntime>& runtime) {
  return runtime != nullptr ? std::static_pointer_cast<Connections>(runtime)
                            : std::make_shared<Connections>();
}

/// The driver that reaches the domain's process, and its parameters.
Result<VmSpec> process_driver(const ConnectionUri& uri, const Domain& domain) {
  if (uri.driver == "xen") {
    return VmSpec{{}, "xen", fmt::format("domain={}", domain.run().id)};
  }
  if (uri.driver != "qemu") {
    return fail(ErrorKind::unsupported, "libvirt",
                fmt::format("no way to the memory of domains of '{}' connections", printable(uri.driver)));
  }
  return libvirt::find_domain_process(uri, domain.run()).map([](const Process& process) {
    return VmSpec{{}, "qemu", fmt::format("pid={}", process.pid())};
  });
}

/// Registers by KVM, where neither QEMU's monitor is free nor libvirt may be asked for it.
void add_kvm(libvirt::ProcessDrivers& drivers, const VmSpec& process, const DriverContext& context) {
  auto kvm = context.open_other({{}, "kvm", process.params});
  if (!kvm) {
    // An emulated domain has no VM of KVM, and a build may be without that driver.
    const ErrorKind kind = kvm.error().kind;
    const bool may_help = kind != ErrorKind::not_found && kind != ErrorKind::invalid;
    drivers.no_kvm = may_help ? std::move(kvm.error().text) : std::string{};
  } else if ((*kvm)->identity().key == drivers.memory->identity().key &&
             (*kvm)->register_reader() != nullptr) {
    drivers.kvm = std::move(*kvm);
  }
}

/// The drivers of the domain's process. Error: why it cannot be reached.
Result<libvirt::ProcessDrivers> open_process(const Params& params, const Domain& domain,
                                             const DriverContext& context) {
  const auto uri = domain.connection().place();
  if (params.text("memory") == "peek") {
    return fail(ErrorKind::unsupported, "libvirt", "memory=peek asks for it");
  }
  if (!uri || !uri->local()) {
    return fail(ErrorKind::unsupported, "libvirt", "the domain is another host's");
  }
  const auto process = process_driver(*uri, domain);
  if (!process) {
    return tl::unexpected{process.error()};
  }
  auto memory = context.open_other(*process);
  if (!memory) {
    return tl::unexpected{std::move(memory.error())};
  }
  libvirt::ProcessDrivers drivers{std::move(*memory), nullptr};
  if (process->driver == "qemu" && !params.flag("passthrough") &&
      drivers.memory->register_reader() == nullptr) {
    add_kvm(drivers, *process, context);
  }
  return drivers;
}

/// The VM is just starting or ending: no reason to read it the slow way for its whole life.
bool is_transient(ErrorKind kind) { return kind == ErrorKind::busy || kind == ErrorKind::vm_gone; }

class LibvirtType : public DriverType {
public:
  std::string_view name() const override { return "libvirt"; }
  std::string_view summary() const override {
    return "a running domain of a libvirt connection, of this host or another one";
  }
  std::span<const ParamSpec> params() const override { return specs(); }
  std::string_view example() const override { return "libvirt:uri=qemu:///system,domain=web01"; }

  Result<std::unique_ptr<Driver>> open(const Params& params, const DriverContext& context) const override {
    auto connected = connections_of(context.runtime)->to(params.text("uri"));
    auto domain = std::move(connected).and_then([&](auto connection) {
      return Domain::find(std::move(connection), params.text("domain"), params.duration("timeout"),
                          params.flag("host"));
    });
    if (!domain) {
      return tl::unexpected{std::move(domain.error())};
    }
    const WorkLimit limit{WorkLimit::Clock::now() + kAttachTime};
    auto process = open_process(params, **domain, context);
    if (process) {
      return std::make_unique<libvirt::LocalDomain>(std::move(*domain), std::move(*process),
                                                    params.flag("passthrough"), context);
    }
    const Error& why = process.error();
    if (params.text("memory") == "process" || is_transient(why.kind)) {
      return tl::unexpected{why};
    }
    if (const auto place = (*domain)->connection().place(); place && place->driver != "qemu") {
      return fail(ErrorKind::unsupported, "libvirt",
                  fmt::format("libvirt can read memory only of QEMU domains, not of a '{}' connection; {}",
                              printable(place->driver), why.text));
    }
    auto remote = libvirt::RemoteDomain::attach(std::move(*domain),
                                                {.passthrough = params.flag("passthrough"),
                                                 .may_allocate = params.text("memory") == "peek",
                                                 .why_remote = why.text},
                                                context);
    if (!remote) {
      remote.error().text += fmt::format("; {}", why.text);
    }
    return remote;
  }

  std::vector<HostCheck> checks(const std::shared_ptr<DriverRuntime>& /*runtime*/) const override {
    return libvirt::check_default_connection();
  }
  std::unique_ptr<Discovery> discovery(const Params& params,
                                       const std::shared_ptr<DriverRuntime>& runtime) const override {
    return std::make_unique<libvirt::LibvirtDiscovery>(params, connections_of(runtime));
  }
  std::span<const ParamSpec> discovery_params() const override { return discovery_specs(); }

  /// The needs of the driver that reads a domain of this host are that driver's.
  Needs needs(const Params& params) const override {
    // A default that is refused is never connected to.
    const std::string uri = params.has("uri") ? params.text("uri") : libvirt::chosen_uri().value_or("");
    const auto place = libvirt::parse_uri(uri);
    Needs needs{.network = !uri.empty() && (!place || !place->local()), // an alias may lead anywhere
                .capabilities = {{CAP_SYS_PTRACE, "libvirt's files, as its daemon sees them"},
                                 {CAP_DAC_OVERRIDE, "its socket and the pid files of domains"}}};
    if (::geteuid() == 0) {
      // libvirt gives up all capabilities before it starts ssh, and fails if root lacks this one for that. It
      // has no other use: the bounding set is as small as the others, so nothing can be gained with it.
      needs.capabilities.push_back({CAP_SETPCAP, "starting ssh without capabilities", true});
    }
    return needs;
  }

  std::shared_ptr<DriverRuntime> make_runtime() const override { return std::make_shared<Connections>(); }

  Result<void> resume_orphan(std::string_view ticket,
                             const std::shared_ptr<DriverRuntime>& runtime) const override {
    return libvirt::parse_resume_ticket(ticket).and_then([&](const libvirt::ResumeTicket& parsed) {
      return libvirt::resume_orphan(parsed, *connections_of(runtime));
    });
  }
};

} // namespace

const DriverType& libvirt_driver_type() {
  static const LibvirtType kType;
  return kType;
}

} // namespace vmemfs
