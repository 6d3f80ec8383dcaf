// SPDX-License-Identifier: MIT
#include "drivers/kvmi/kvmi_params.h"

#include "core/text.h"
#include "driver/param_text.h"

#include <array>
#include <cerrno>
#include <fcntl.h>
#include <fmt/format.h>
#include <limits>
#include <unistd.h>
#include <vector>

namespace vmemfs::kvmi {
namespace {

constexpr std::size_t kMaxKeySize = 4096;
/// Those below take CAP_NET_BIND_SERVICE, which a mount gives up.
constexpr std::uint64_t kFirstFreePort = 1024;

const std::vector<ParamSpec>& endpoint_params() {
  static const std::vector<ParamSpec> kSpecs{
      {.name = "socket",
       .type = ParamType::path,
       .help = "UNIX socket to listen at, to which QEMU connects; only root and the user who mounts may",
       .example = "/run/vmemfs-kvmi.sock",
       .alternative = true},
      {.name = "vsock",
       .type = ParamType::number,
       .help = "or the vsock port to listen at, for a vmemfs within a VM of the same host",
       .example = "1234",
       .range = {kFirstFreePort, std::numeric_limits<std::uint32_t>::max() - 1},
       .alternative = true},
      {.name = "key",
       .type = ParamType::path,
       .help = "file with the secret of QEMU's key=, all its bytes; without, none is sent",
       .example = "/etc/vmemfs/kvmi.key"},
      {.name = "timeout",
       .type = ParamType::duration,
       .fallback = "5s",
       .help = "how long a reply may take; a later one ends the connection",
       .example = "2s",
       .range = {10, kMaxTimeoutParam}},
      {.name = "handshake",
       .type = ParamType::duration,
       .fallback = "10s",
       .help = "how long a connection may take to send its greeting",
       .example = "2s",
       .range = {10, kMaxTimeoutParam}},
      {.name = "reconnect",
       .type = ParamType::duration,
       .fallback = "15s",
       .help = "how long a VM may be without a connection before it counts as ended; longer than QEMU's "
               "reconnect=",
       .example = "30s",
       .range = {0, 3'600'000}},
      {.name = "memory_device",
       .type = ParamType::path,
       .help = "device with which a vmemfs within a VM of the same host maps pages, if it is there; "
               "/dev/kvmmem unless given",
       .example = "/dev/kvmmem"},
      {.name = "mapped_pages",
       .type = ParamType::number,
       .fallback = "1024",
       .help = "max number of pages that are mapped at the same time; 0: none",
       .example = "256",
       .range = {0, MappedMemory::kMaxPages}},
  };
  return kSpecs;
}

std::vector<ParamSpec> with_vm() {
  std::vector<ParamSpec> specs{
      {.name = "domain",
       .type = ParamType::text,
       .required = true,
       .help = "the VM, by name or uuid: many may connect to one socket",
       .example = "web01",
       .names_vm = true},
  };
  specs.insert(specs.end(), endpoint_params().begin(), endpoint_params().end());
  specs.push_back({.name = "wait",
                   .type = ParamType::duration,
                   .fallback = "15s",
                   .help = "how long to wait for the VM to connect",
                   .example = "1m",
                   .range = {0, kMaxTimeoutParam}});
  return specs;
}

Result<std::string> read_key(const std::string& path) {
  const UniqueFd file{::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK)};
  if (!file) {
    return fail_errno(errno, "kvmi", fmt::format("cannot open the key '{}'", printable(path)));
  }
  std::array<char, kMaxKeySize + 1> bytes{};
  const ssize_t size = ::read(file.get(), bytes.data(), bytes.size());
  if (size < 0) {
    return fail_errno(errno, "kvmi", fmt::format("cannot read the key '{}'", printable(path)));
  }
  if (size == 0 || size > static_cast<ssize_t>(kMaxKeySize)) {
    return fail(
        ErrorKind::invalid, "kvmi",
        fmt::format("cannot use the key '{}': it has to have 1 to {} bytes", printable(path), kMaxKeySize));
  }
  return std::string{bytes.data(), static_cast<std::size_t>(size)};
}

} // namespace

std::span<const ParamSpec> vm_params() {
  static const std::vector<ParamSpec> kSpecs = with_vm();
  return kSpecs;
}

std::span<const ParamSpec> discovery_params() { return endpoint_params(); }

Result<HubSettings> hub_settings(const Params& params) {
  if (params.has("socket") && params.has("vsock")) {
    return fail(ErrorKind::invalid, "kvmi", "socket= and vsock= cannot be used together; give one of them");
  }
  HubSettings settings;
  settings.endpoint.path = params.text("socket");
  settings.endpoint.vsock_port = params.has("vsock") ? static_cast<std::uint32_t>(params.number("vsock")) : 0;
  settings.handshake = params.duration("handshake");
  settings.timeout = params.duration("timeout");
  settings.reconnect = params.duration("reconnect");
  if (params.has("key")) {
    auto secret = read_key(params.text("key"));
    if (!secret) {
      return tl::unexpected{std::move(secret.error())};
    }
    settings.secret = std::move(*secret);
  }
  return settings;
}

MappingSettings mapping_settings(const Params& params) {
  return {params.has("memory_device") ? params.text("memory_device") : std::string{kMemoryDevice},
          static_cast<std::size_t>(params.number("mapped_pages"))};
}

std::string params_of(const Params& params, const std::string& domain) {
  std::vector<KeyValue> pairs{{"domain", domain}};
  for (const ParamSpec& spec : endpoint_params()) {
    if (params.has(spec.name)) {
      pairs.push_back({std::string{spec.name}, params.text(spec.name)});
    }
  }
  return format_pairs(pairs);
}

} // namespace vmemfs::kvmi
