// SPDX-License-Identifier: MIT
#include "drivers/dump/dump_type.h"

#include "drivers/dump/directory/dump_directory.h"
#include "drivers/dump/directory/watched_file.h"
#include "drivers/dump/dump_driver.h"
#include "image/saved/saved_formats.h"

#include <linux/capability.h>

namespace vmemfs {
namespace {

std::vector<std::string_view> format_names() {
  std::vector<std::string_view> names{kKnownFormat};
  for (const SavedFormat* format : saved_formats()) {
    names.push_back(format->name());
  }
  return names;
}

const std::vector<ParamSpec>& specs() {
  static const std::vector<ParamSpec> kSpecs{
      {"path", ParamType::path, true, "", "the file with the saved memory", "/var/dumps/web01.elf"},
      {"format", ParamType::choice, false, "",
       "its format; without, the content decides, and what has no known format is raw: offsets are guest "
       "physical addresses; known: the content decides, and what has no known format is refused",
       "raw", format_names()},
  };
  return kSpecs;
}

const std::vector<ParamSpec>& discovery_specs() {
  static const std::vector<ParamSpec> kSpecs{
      {"dir", ParamType::path, true, "",
       "a directory with saved memory: each of its files is a VM, except for hidden ones and symbolic links",
       "/var/dumps"},
      {"format", ParamType::choice, false, kKnownFormat, "the format of all files", "raw", format_names()},
  };
  return kSpecs;
}

std::shared_ptr<WatchedFiles> files_of(const std::shared_ptr<DriverRuntime>& runtime) {
  auto files = std::dynamic_pointer_cast<WatchedFiles>(runtime);
  return files != nullptr ? files : std::make_shared<WatchedFiles>();
}

class DumpType : public DriverType {
public:
  std::string_view name() const override { return "dump"; }
  std::string_view summary() const override {
    return "saved memory in a file, or in the files of a directory";
  }
  std::span<const ParamSpec> params() const override { return specs(); }
  std::string_view example() const override { return "dump:path=/var/dumps/web01.elf"; }

  Needs needs(const Params& /*params*/) const override {
    return {.capabilities = {{CAP_DAC_OVERRIDE, "images of other users"}}};
  }

  std::span<const ParamSpec> discovery_params() const override { return discovery_specs(); }

  std::unique_ptr<Discovery> discovery(const Params& params,
                                       const std::shared_ptr<DriverRuntime>& runtime) const override {
    if (!params.has("dir")) {
      return nullptr;
    }
    return std::make_unique<DumpDirectory>(params.text("dir"), params.text("format"), files_of(runtime));
  }

  std::shared_ptr<DriverRuntime> make_runtime() const override { return std::make_shared<WatchedFiles>(); }

  Result<std::unique_ptr<Driver>> open(const Params& params, const DriverContext& context) const override {
    const std::string& path = params.text("path");
    return DumpDriver::open(path, params.text("format"), files_of(context.runtime)->find(path));
  }
};

} // namespace

const DriverType& dump_driver_type() {
  static const DumpType kType;
  return kType;
}

} // namespace vmemfs
