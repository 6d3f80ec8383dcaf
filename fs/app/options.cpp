#include "fs/app/options.h"

#include "core/text.h"
#include "drivers/all_drivers.h"
#include "fs/app/guardian.h"

#include <CLI/CLI.hpp>
#include <algorithm>
#include <filesystem>
#include <fmt/format.h>
#include <iostream>

namespace vmemfs {
namespace {

constexpr std::string_view kDescription =
    "vmemfs shows the physical memory of running virtual machines as files: one directory per VM\n"
    "with mem, mem_padded, maps, info, control and vcpus/N/regs.";

constexpr std::string_view kFooter =
    "Examples:\n"
    "  vmemfs /mnt/vms                                        mount every VM of this host, as they come and "
    "go\n"
    "  vmemfs --vm web01=qemu:qmp=/run/web01.qmp /mnt/vms     and this one, found by its QMP socket\n"
    "  vmemfs --no-discover --vm web01=qemu:pid=4711 /mnt/vms only this one, found by its process\n"
    "  vmemfs web01=qemu:name=web01 /mnt/vms -o allow_other   SOURCE MOUNTPOINT form, as for fstab\n"
    "  fusermount3 -u /mnt/vms                                unmount\n"
    "  vmemfs drivers qemu                                    what a driver is and which parameters it "
    "takes\n";

struct RawOptions {
  std::vector<std::string> positionals;
  std::vector<std::string> vms;
  std::vector<std::string> fuse;
  std::vector<std::string> discoveries;
  bool no_discover = false;
  std::string cache_size = "64M";
  std::string cache_ttl = "0ms";
  MountOptions mount;
  ListDrivers drivers;
};

/// CLI11 would call the positionals ARGS.
class Formatter : public CLI::Formatter {
public:
  std::string make_usage(const CLI::App* app, std::string name) const override {
    if (app->get_parent() != nullptr) {
      return CLI::Formatter::make_usage(app, std::move(name));
    }
    return "Usage: vmemfs [SOURCE] MOUNTPOINT [OPTIONS]\n       vmemfs drivers [NAME]\n";
  }
};

/// Splits "-o a,b" and takes out what is ours or for mount(8).
void take_fuse_options(RawOptions& raw, MountOptions& options) {
  constexpr std::string_view kCacheSize = "cache_size=";
  constexpr std::string_view kCacheTtl = "cache_ttl=";
  for (const std::string& list : raw.fuse) {
    for (const std::string_view option : split(list, ',')) {
      if (option == "writable") {
        options.vm_options.general.writable = true;
      } else if (option.starts_with(kCacheSize)) {
        raw.cache_size = option.substr(kCacheSize.size());
      } else if (option.starts_with(kCacheTtl)) {
        raw.cache_ttl = option.substr(kCacheTtl.size());
      } else if (!option.empty() && !option.starts_with("x-") && option != "defaults" && option != "nofail") {
        options.fuse_options.emplace_back(option);
      }
    }
  }
}

void take_cache_options(const RawOptions& raw, MountOptions& options, std::vector<std::string>& problems) {
  constexpr std::chrono::hours kLongestTtl{24};
  if (const auto size = parse_size(raw.cache_size)) {
    options.cache_size = *size;
  } else {
    problems.push_back(fmt::format("--cache-size: '{}' is no size as 64M", printable(raw.cache_size)));
  }
  const auto ttl = parse_duration(raw.cache_ttl);
  if (ttl && *ttl <= kLongestTtl) {
    options.vm_options.general.cache_ttl = *ttl;
  } else {
    problems.push_back(fmt::format("--cache-ttl: '{}' is no duration up to 1440m, as 100ms or 2s",
                                   printable(raw.cache_ttl)));
  }
}

/// SOURCE of fstab: one VM and no other, or a word that stands for none, as other filesystems have it.
void take_source(RawOptions& raw) {
  if (raw.positionals.size() < 2) {
    return;
  }
  const std::string& source = raw.positionals.front();
  if (source != "none" && source != "vmemfs") {
    raw.vms.push_back(source);
    raw.no_discover = true;
  }
}

/// "DRIVER[:KEY=VALUE,...]": who looks for VMs, in the order of preference.
void take_discoveries(RawOptions& raw, std::vector<std::string>& problems) {
  for (const std::string& text : raw.discoveries) {
    const std::size_t colon = text.find(':');
    VmSpec spec{.name = {},
                .driver = text.substr(0, colon),
                .params = colon == std::string::npos ? "" : text.substr(colon + 1)};
    if (const auto checked = open_discovery(spec); !checked) {
      problems.push_back("--discover: " + checked.error().message());
    }
    raw.mount.discoveries.push_back(std::move(spec));
  }
  if (raw.no_discover && !raw.discoveries.empty()) {
    problems.emplace_back("--discover and --no-discover exclude each other");
  }
}

/// All that is wrong, one sentence each.
std::vector<std::string> finish(RawOptions& raw) {
  std::vector<std::string> problems;
  take_source(raw);
  for (const std::string& text : raw.vms) {
    auto spec = parse_vm_spec(text);
    if (spec) {
      raw.mount.vms.push_back(std::move(*spec));
    } else {
      problems.push_back(spec.error().message());
    }
  }
  if (raw.positionals.empty()) {
    problems.emplace_back("MOUNTPOINT is missing");
  } else {
    raw.mount.mountpoint = std::filesystem::absolute(raw.positionals.back()).lexically_normal();
  }
  raw.mount.discover = !raw.no_discover;
  if (raw.vms.empty() && !raw.mount.discover) {
    problems.emplace_back("no VM is named; leave out --no-discover, or add --vm NAME=DRIVER:KEY=VALUE,... as "
                          "--vm web01=qemu:qmp=/run/web01.qmp");
  }
  take_discoveries(raw, problems);
  take_fuse_options(raw, raw.mount);
  take_cache_options(raw, raw.mount, problems);
  return problems;
}

} // namespace

CommandLine parse_command_line(int argc, char** argv) {
  RawOptions raw;
  CLI::App app{std::string{kDescription}, "vmemfs"};
  app.set_version_flag("-V,--version", "vmemfs " VMEMFS_VERSION);
  app.formatter(std::make_shared<Formatter>());
  app.footer(std::string{kFooter});
  app.add_option("ARGS", raw.positionals, "[SOURCE] MOUNTPOINT; SOURCE is a VM as after --vm")
      ->expected(0, 2)
      ->option_text(" ");
  app.add_option("--vm", raw.vms, "mount this VM; repeatable")
      ->option_text("[NAME=]DRIVER[:KEY=VALUE,...]")
      ->allow_extra_args(false);
  app.add_option("-o", raw.fuse,
                 "FUSE mount options (ro, allow_other, ...), and writable, cache_size=, cache_ttl=")
      ->option_text("OPTIONS")
      ->allow_extra_args(false);
  app.add_flag("-f,--foreground", raw.mount.foreground, "stay in the foreground, log to standard error");
  app.add_flag("-d,--debug", raw.mount.debug, "log every decision and request; implies -f");
  app.add_option(
         "--discover", raw.discoveries,
         "look for VMs with this driver, and with no others but those that are given so; where several "
         "find the same VM the first has it; repeatable")
      ->option_text("DRIVER[:KEY=VALUE,...]")
      ->allow_extra_args(false);
  app.add_flag("--no-discover", raw.no_discover, "only the VMs that are named, none that is found");
  app.add_flag("--writable", raw.mount.vm_options.general.writable,
               "let guest memory and registers be written (default: nothing is ever written)");
  app.add_option("--cache-size", raw.cache_size,
                 "memory for caching pages of paused VMs, for all together (default: 64M)")
      ->option_text("BYTES");
  app.add_option("--cache-ttl", raw.cache_ttl, "how old pages of running VMs may be (default: 0ms, live)")
      ->option_text("DURATION");
  CLI::App* const drivers = app.add_subcommand("drivers", "list the drivers and their parameters");
  drivers->add_option("NAME", raw.drivers.name, "only this driver");
  const CLI::App* const guardian =
      app.add_subcommand(std::string{Guardian::kSubcommand})->group(""); // hidden

  CommandLine result;
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    // CLI11 has codes of its own; ours are 0 and, for a wrong command line, 2.
    result.exit_code = app.exit(error) == 0 ? 0 : 2;
    return result;
  }
  if (drivers->parsed()) {
    result.drivers = raw.drivers;
    return result;
  }
  if (guardian->parsed()) {
    result.guardian = true;
    return result;
  }
  if (const auto problems = finish(raw); !problems.empty()) {
    for (const std::string& problem : problems) {
      std::cerr << "vmemfs: " << problem << '\n';
    }
    std::cerr << "Run 'vmemfs --help' for more.\n";
    result.exit_code = 2;
    return result;
  }
  raw.mount.foreground = raw.mount.foreground || raw.mount.debug;
  result.mount = std::move(raw.mount);
  return result;
}

} // namespace vmemfs
