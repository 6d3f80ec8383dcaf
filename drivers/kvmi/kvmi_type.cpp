// SPDX-License-Identifier: MIT
#include "drivers/kvmi/kvmi_type.h"

#include "drivers/kvmi/kvmi_discovery.h"
#include "drivers/kvmi/kvmi_driver.h"
#include "drivers/kvmi/kvmi_params.h"
#include "drivers/kvmi/kvmi_runtime.h"

#include <chrono>
#include <utility>

namespace vmemfs {
namespace {

class KvmiType : public DriverType {
public:
  std::string_view name() const override { return "kvmi"; }
  std::string_view summary() const override {
    return "a VM of a QEMU with KVM introspection (KVMI), which connects to vmemfs";
  }
  std::span<const ParamSpec> params() const override { return kvmi::vm_params(); }
  std::string_view example() const override { return "kvmi:socket=/run/vmemfs-kvmi.sock,domain=web01"; }
  std::span<const ParamSpec> discovery_params() const override { return kvmi::discovery_params(); }

  Needs needs(const Params& params) const override {
    return {.network = params.has("vsock"),
            .system_calls = {{"process_vm_readv", "copies of pages that are mapped"}},
            .devices = {{kvmi::kMemoryDevice, "pages of a VM of the same host", true}}};
  }

  std::shared_ptr<DriverRuntime> make_runtime() const override {
    return std::make_shared<kvmi::KvmiRuntime>();
  }

  std::unique_ptr<Discovery> discovery(const Params& params,
                                       const std::shared_ptr<DriverRuntime>& runtime) const override {
    if (!params.has("socket") && !params.has("vsock")) {
      return nullptr;
    }
    return std::make_unique<kvmi::KvmiDiscovery>(params, kvmi::kvmi_runtime(runtime));
  }

  Result<std::unique_ptr<Driver>> open(const Params& params, const DriverContext& context) const override {
    const auto settings = kvmi::hub_settings(params);
    if (!settings) {
      return tl::unexpected{settings.error()};
    }
    auto hub = kvmi::kvmi_runtime(context.runtime)->hub(*settings);
    if (!hub) {
      return tl::unexpected{std::move(hub.error())};
    }
    const auto deadline = std::chrono::steady_clock::now() + params.duration("wait");
    return kvmi::KvmiDriver::attach(params.text("domain"), std::move(*hub), deadline,
                                    kvmi::mapping_settings(params), context);
  }
};

} // namespace

const DriverType& kvmi_driver_type() {
  static const KvmiType kType;
  return kType;
}

} // namespace vmemfs
