// SPDX-License-Identifier: MIT
#include "fs/cli/options.h"

#include "core/duration.h"
#include "core/text.h"
#include "drivers/all_drivers.h"
#include "fs/config/mount_settings.h"
#include "fs/files/control/control_command.h"
#include "fs/guardian/guardian.h"
#include "fs/save/save_format.h"
#include "fs/vm_line.h"

#include <CLI/CLI.hpp>
#include <fmt/format.h>
#include <iostream>

namespace vmemfs {
namespace {

constexpr std::string_view kDescription =
    "vmemfs shows the physical memory of running virtual machines as files: one directory per VM\n"
    "with mem, mem_padded, core, mem.lime, ram/NAME, maps, info, control, batch,\n"
    "vcpus/N/{regs,virt,virt_maps} and, of Linux guests, linux/{info,dmesg,ps,modules,mounts,\n"
    "sockets,System.map,kallsyms,btf,symbols,vmlinux}.";

constexpr std::string_view kExamples =
    "Examples:\n"
    "  vmemfs /mnt/vms                                        mount every VM of this host, as they start and "
    "go\n"
    "  vmemfs --vm web01=qemu:qmp=/run/web01.qmp /mnt/vms     and this one, by its QMP socket\n"
    "  vmemfs --no-discover --vm web01=qemu:pid=4711 /mnt/vms only this one, by its process\n"
    "  vmemfs --vm web01 /mnt/vms                             the VM of this name, with any driver\n"
    "  vmemfs web01=qemu:name=web01 /mnt/vms -o allow_other   SOURCE MOUNTPOINT form, as in fstab\n"
    "  fusermount3 -u /mnt/vms                                unmount\n"
    "  vmemfs drivers qemu                                    describe a driver and the parameters it "
    "takes\n";

constexpr std::string_view kListExamples =
    "Examples:\n"
    "  vmemfs list                                                  list what a mount would show\n"
    "  vmemfs list --discover libvirt:uri=qemu+ssh://alpha/system   the domains of another host\n";

constexpr std::string_view kSaveExamples =
    "Exit status: 0 complete, 1 failed and nothing saved, 2 wrong command line, 3 saved, but parts could "
    "not\n"
    "be read or the guest did not stay paused, 128 + N ended by signal N and nothing saved.\n\n"
    "Examples:\n"
    "  vmemfs save web01 web01.elf                         a live image of the VM that a mount has as web01\n"
    "  vmemfs save --pause /mnt/vms/web01 web01.elf        of one moment: the guest is paused meanwhile\n"
    "  vmemfs save --pause qemu:pid=4711 web01.elf         of a VM that no mount has\n"
    "  vmemfs save --format lime web01 - | ssh store 'cat > web01.lime'\n";

/// As typed.
struct SaveArguments {
  SaveOptions options;
  std::string format = "elf";
  std::string max_pause = "10m";
  bool live = false; ///< is the default
};

struct RawOptions {
  MountArguments mount;
  ListDrivers drivers;
  bool json = false;
  MountArguments list;
  CheckHost check;
  SaveArguments save;
};

/// CLI11 would call the positionals ARGS.
class Formatter : public CLI::Formatter {
public:
  std::string make_usage(const CLI::App* app, std::string name) const override {
    if (app->get_parent() != nullptr) {
      return CLI::Formatter::make_usage(app, std::move(name));
    }
    return "Usage: vmemfs [SOURCE] MOUNTPOINT [OPTIONS]\n"
           "       vmemfs list [OPTIONS]\n"
           "       vmemfs save [OPTIONS] VM FILE\n"
           "       vmemfs drivers [NAME]\n"
           "       vmemfs check [--unit]\n";
  }
};

/// `name` followed by "KEY=" for each parameter.
std::string keys_line(std::string_view name, std::span<const ParamSpec> specs) {
  std::string line = fmt::format("  {:<10}", name);
  for (const ParamSpec& spec : specs) {
    line += fmt::format(" {}=", spec.name);
  }
  return line + '\n';
}

/// One line for each command of a control file.
std::string commands_text(std::string_view file, const std::vector<CommandSyntax>& commands) {
  std::string text = fmt::format("Commands of {}, one per line:\n", file);
  for (const CommandSyntax& command : commands) {
    text += fmt::format("  {:<30}  {}\n", command.usage(), command.summary);
  }
  return text + '\n';
}

std::string footer() {
  std::string text{"DRIVER and its KEYs ('vmemfs drivers' explains them):\n"};
  for (const DriverType* const type : all_drivers()) {
    text += keys_line(fmt::format("{}:", type->name()), type->params());
  }
  return text + keys_line("each VM:", vm_option_specs()) +
         fmt::format("BYTES may have K, M, G or T; DURATION is {}.\n\n", kDurationForm) +
         commands_text("VM/control", vm_commands()) + commands_text(".vmemfs/control", mount_commands()) +
         std::string{kExamples};
}

std::string help_of(std::string_view setting) {
  const ParamSpec& spec = *find_spec(mount_specs(), setting);
  const bool show_default = !spec.fallback.empty() && spec.type != ParamType::flag;
  return fmt::format("{}{}", spec.help, show_default ? fmt::format(" (default: {})", spec.fallback) : "");
}

void add_setting(CLI::App& app, MountArguments& arguments, const char* option, const std::string& key,
                 const char* form) {
  app.add_option_function<std::string>(
         option,
         [&arguments, key](const std::string& value) {
           arguments.settings.push_back({key, value});
         },
         help_of(key))
      ->option_text(form);
}

/// `value`: the setting's value if the flag is given.
void add_flag(CLI::App& app, MountArguments& arguments, const char* option, const std::string& key,
              bool value, const std::string& help) {
  app.add_flag_callback(
      option,
      [&arguments, key, value] {
        arguments.settings.push_back({key, value ? "on" : "off"});
      },
      help);
}

/// Options that select where to scan for VMs.
void define_discovery_options(CLI::App& app, MountArguments& arguments) {
  app.add_option("--config", arguments.config,
                 "read this configuration instead of ~/.config/vmemfs/config.toml or /etc/vmemfs/config.toml")
      ->option_text("FILE");
  app.add_option("--discover", arguments.discoveries,
                 "scan for VMs with this driver, and only with drivers given in this way; if several find "
                 "the same VM, the first one is used; repeatable")
      ->option_text(std::string{kDiscoveryLineForm})
      ->allow_extra_args(false);
}

void define_mount_options(CLI::App& app, MountArguments& arguments) {
  app.add_option("ARGS", arguments.positionals, "[SOURCE] MOUNTPOINT; SOURCE is a VM as in --vm")
      ->expected(0, 2)
      ->option_text(" ");
  app.add_option(
         "--vm", arguments.vms,
         "mount this VM; repeatable. With NAME alone, or without DRIVER after the '=', each driver is tried")
      ->option_text(std::string{kVmLineForm})
      ->allow_extra_args(false);
  define_discovery_options(app, arguments);
  app.add_option("-o", arguments.fuse,
                 "FUSE mount options (ro, allow_other, ...), and writable, cache_size=, cache_ttl=, "
                 "cache_kernel=, config=")
      ->option_text("OPTIONS")
      ->allow_extra_args(false);
  add_flag(app, arguments, "-f,--foreground", "foreground", true, help_of("foreground"));
  add_flag(app, arguments, "-d,--debug", "debug", true, help_of("debug"));
  add_flag(app, arguments, "--no-discover", "discover", false,
           "mount only the VMs that are named, without discovery");
  add_flag(app, arguments, "--writable", "writable", true, help_of("writable"));
  add_flag(app, arguments, "--no-writable", "writable", false,
           "do not allow writing, even if the configuration allows it for all VMs");
  add_setting(app, arguments, "--cache-size", "cache_size", "BYTES");
  add_setting(app, arguments, "--cache-ttl", "cache_ttl", "DURATION");
  add_setting(app, arguments, "--cache-kernel", "cache_kernel", "MODE");
}

void define_save_options(CLI::App& app, SaveArguments& save) {
  app.add_option(
         "VM", save.options.vm,
         "directory of a VM in a mount, such as /mnt/vms/web01; or a VM's name; or DRIVER:KEY=VALUE,... "
         "as after --vm: what no mount has is mounted meanwhile")
      ->required()
      ->option_text(" ");
  app.add_option("FILE", save.options.file,
                 "is written as FILE.partial and gets its name when it is complete; -: standard output")
      ->required()
      ->option_text(" ");
  app.add_option("--format", save.format,
                 "elf: ELF core with registers (the VM's file core); raw: flat memory, holes are zeros "
                 "(mem_padded); lime (mem.lime); avml: AVML, compressed; kdump: kdump, "
                 "compressed, with registers (default: elf)")
      ->option_text("FORMAT");
  CLI::Option* const pause =
      app.add_flag("--pause", save.options.pause, "pause the guest while it is read, and resume it");
  app.add_flag("--live", save.live, "do not pause the guest (default)")->excludes(pause);
  app.add_option("--max-pause", save.max_pause,
                 fmt::format("resume the guest and fail if it was paused for longer: {} (default: 10m; at "
                             "most 1d)",
                             kDurationForm))
      ->option_text("DURATION");
  app.add_flag("--overwrite", save.options.overwrite, "replace FILE and its sidecar if they exist");
  app.add_option("--sidecar", save.options.sidecar,
                 "write the facts about the image there, as JSON, instead of to FILE.json")
      ->option_text("PATH");
  app.add_option("--threads", save.options.threads, "threads that read (default: one per CPU, 4 at most)")
      ->check(CLI::Range(1U, kMaxSaveThreads))
      ->option_text("N");
  app.add_flag("-q,--quiet", save.options.quiet, "print only warnings and errors");
  app.footer(std::string{kSaveExamples});
}

/// The options for shell completion.
std::vector<std::string> option_names(const CLI::App& app) {
  std::vector<std::string> names;
  for (const CLI::Option* const option : app.get_options()) {
    for (const std::string& name : option->get_lnames()) {
      names.push_back("--" + name);
    }
    for (const std::string& name : option->get_snames()) {
      names.push_back("-" + name);
    }
  }
  return names;
}

/// Prints all problems, if there are any.
bool is_good(const MadeOptions& made, std::string_view help, CommandLine& result) {
  if (made.problems.empty()) {
    return true;
  }
  for (const std::string& problem : made.problems) {
    std::cerr << "vmemfs: " << problem << '\n';
  }
  std::cerr << fmt::format("Run '{}' for more.\n", help);
  result.exit_code = 2;
  return false;
}

void take_mount_options(MountArguments arguments, CommandLine& result) {
  if (MadeOptions made = make_mount_options(std::move(arguments)); is_good(made, "vmemfs --help", result)) {
    result.mount = std::move(made.options);
  }
}

void take_list_options(MountArguments arguments, bool json, CommandLine& result) {
  if (MadeOptions made = make_list_options(std::move(arguments));
      is_good(made, "vmemfs list --help", result)) {
    result.list = ListVms{json, std::move(made.options.discoveries)};
  }
}

void take_save_options(SaveArguments arguments, CommandLine& result) {
  MadeOptions made;
  if (const auto format = parse_save_format(arguments.format)) {
    arguments.options.format = *format;
  } else {
    made.problems.push_back(format.error().text);
  }
  const auto max_pause = parse_duration(arguments.max_pause);
  if (max_pause && *max_pause > kMaxMaxPause) {
    made.problems.push_back(fmt::format("--max-pause: '{}' is longer than {}, the longest pause",
                                        printable(arguments.max_pause), duration_text(kMaxMaxPause)));
  } else if (max_pause && max_pause->count() > 0) {
    arguments.options.max_pause = *max_pause;
  } else {
    made.problems.push_back(fmt::format("--max-pause: '{}' is not a duration of at least 1ms ({})",
                                        printable(arguments.max_pause), kDurationForm));
  }
  if (is_good(made, "vmemfs save --help", result)) {
    result.save = std::move(arguments.options);
  }
}

} // namespace

CommandLine parse_command_line(int argc, char** argv) {
  RawOptions raw;
  CLI::App app{std::string{kDescription}, "vmemfs"};
  app.set_version_flag("-V,--version", "vmemfs " VMEMFS_VERSION);
  app.formatter(std::make_shared<Formatter>());
  app.footer(footer());
  define_mount_options(app, raw.mount);
  CLI::App* const list = app.add_subcommand("list", "list the VMs that are visible, and their drivers");
  list->add_flag("--json", raw.json, "as JSON, one array");
  define_discovery_options(*list, raw.list);
  list->footer(std::string{kListExamples});
  CLI::App* const save = app.add_subcommand("save", "save the memory of a VM to a file");
  define_save_options(*save, raw.save);
  CLI::App* const drivers = app.add_subcommand("drivers", "list the drivers and their parameters");
  drivers->add_option("NAME", raw.drivers.name, "only this driver");
  CLI::App* const check =
      app.add_subcommand("check", "check whether this host is ready, with a remedy for each 'no'; ends with "
                                  "1 if something required is missing");
  check->add_flag("--unit", raw.check.unit,
                  "print the privileges that the drivers need, as a drop-in for vmemfs.service");
  const CLI::App* const guardian =
      app.add_subcommand(std::string{Guardian::kSubcommand})->group(""); // hidden

  CommandLine result;
  if (argc > 1 && argv[1] == kCompleteSubcommand) { // the rest is not a complete command line
    result.completion = {
        {argv + 2, argv + argc}, option_names(app), option_names(*list), option_names(*save)};
    return result;
  }
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    // CLI11 has its own exit codes; vmemfs uses 0 and, for an invalid command line, 2.
    result.exit_code = app.exit(error) == 0 ? 0 : 2;
    return result;
  }
  if (drivers->parsed()) {
    result.drivers = raw.drivers;
  } else if (list->parsed()) {
    take_list_options(std::move(raw.list), raw.json, result);
  } else if (save->parsed()) {
    take_save_options(std::move(raw.save), result);
  } else if (check->parsed()) {
    result.check = raw.check;
  } else if (guardian->parsed()) {
    result.guardian = true;
  } else {
    take_mount_options(std::move(raw.mount), result);
  }
  return result;
}

} // namespace vmemfs
