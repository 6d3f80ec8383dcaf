#include "fs/app/options.h"

#include "core/text.h"
#include "drivers/all_drivers.h"
#include "fs/app/complete.h"
#include "fs/app/config.h"
#include "fs/app/guardian.h"
#include "fs/app/mount_settings.h"
#include "fs/vm_line.h"

#include <CLI/CLI.hpp>
#include <algorithm>
#include <filesystem>
#include <fmt/format.h>
#include <iostream>
#include <iterator>

namespace vmemfs {
namespace {

constexpr std::string_view kDescription =
    "vmemfs shows the physical memory of running virtual machines as files: one directory per VM\n"
    "with mem, mem_padded, maps, info, control and vcpus/N/regs.";

constexpr std::string_view kExamples =
    "Examples:\n"
    "  vmemfs /mnt/vms                                        mount every VM of this host, as they come and "
    "go\n"
    "  vmemfs --vm web01=qemu:qmp=/run/web01.qmp /mnt/vms     and this one, found by its QMP socket\n"
    "  vmemfs --no-discover --vm web01=qemu:pid=4711 /mnt/vms only this one, found by its process\n"
    "  vmemfs --vm web01 /mnt/vms                             the VM of this name, by whichever driver\n"
    "  vmemfs web01=qemu:name=web01 /mnt/vms -o allow_other   SOURCE MOUNTPOINT form, as for fstab\n"
    "  fusermount3 -u /mnt/vms                                unmount\n"
    "  vmemfs drivers qemu                                    what a driver is and which parameters it "
    "takes\n";

struct RawOptions {
  std::vector<std::string> positionals;
  std::vector<std::string> vms;
  std::vector<std::string> fuse;
  std::string config;
  std::vector<KeyValue> settings; ///< as given, not checked
  ListDrivers drivers;
  ListVms list;
};

/// CLI11 would call the positionals ARGS.
class Formatter : public CLI::Formatter {
public:
  std::string make_usage(const CLI::App* app, std::string name) const override {
    if (app->get_parent() != nullptr) {
      return CLI::Formatter::make_usage(app, std::move(name));
    }
    return "Usage: vmemfs [SOURCE] MOUNTPOINT [OPTIONS]\n"
           "       vmemfs list [--json]\n"
           "       vmemfs drivers [NAME]\n"
           "       vmemfs check\n";
  }
};

/// `name:` and then "KEY=" for each.
std::string keys_line(std::string_view name, std::span<const ParamSpec> specs) {
  std::string line = fmt::format("  {:<10}", name);
  for (const ParamSpec& spec : specs) {
    line += fmt::format(" {}=", spec.name);
  }
  return line + '\n';
}

std::string footer() {
  std::string text{"DRIVER and its KEYs ('vmemfs drivers' explains them):\n"};
  for (const DriverType* const type : all_drivers()) {
    text += keys_line(fmt::format("{}:", type->name()), type->params());
  }
  return text + keys_line("each VM:", vm_option_specs()) + '\n' + std::string{kExamples};
}

std::string help_of(std::string_view setting) {
  const ParamSpec& spec = *find_spec(mount_specs(), setting);
  const bool tell_default = !spec.fallback.empty() && spec.type != ParamType::flag;
  return fmt::format("{}{}", spec.help, tell_default ? fmt::format(" (default: {})", spec.fallback) : "");
}

void add_setting(CLI::App& app, RawOptions& raw, const char* option, std::string key, const char* form) {
  app.add_option_function<std::string>(
         option,
         [&raw, key](const std::string& value) {
           raw.settings.push_back({key, value});
         },
         help_of(key))
      ->option_text(form);
}

/// `value`: what giving the flag says.
void add_flag(CLI::App& app, RawOptions& raw, const char* option, std::string key, bool value,
              const std::string& help) {
  app.add_flag_callback(
      option,
      [&raw, key, value] {
        raw.settings.push_back({key, value ? "on" : "off"});
      },
      help);
}

void define_mount_options(CLI::App& app, RawOptions& raw) {
  app.add_option("ARGS", raw.positionals, "[SOURCE] MOUNTPOINT; SOURCE is a VM as after --vm")
      ->expected(0, 2)
      ->option_text(" ");
  app.add_option(
         "--vm", raw.vms,
         "mount this VM; repeatable. NAME alone, or with no DRIVER behind the '=': each driver is tried")
      ->option_text(std::string{kVmLineForm})
      ->allow_extra_args(false);
  app.add_option("--config", raw.config,
                 "read this configuration instead of ~/.config/vmemfs/config.toml or /etc/vmemfs/config.toml")
      ->option_text("FILE");
  app.add_option("-o", raw.fuse,
                 "FUSE mount options (ro, allow_other, ...), and writable, cache_size=, cache_ttl=, config=")
      ->option_text("OPTIONS")
      ->allow_extra_args(false);
  add_flag(app, raw, "-f,--foreground", "foreground", true, help_of("foreground"));
  add_flag(app, raw, "-d,--debug", "debug", true, help_of("debug"));
  add_flag(app, raw, "--discover", "discover", true,
           help_of("discover") + ", also where the configuration says otherwise");
  add_flag(app, raw, "--no-discover", "discover", false, "only the VMs that are named, none that is found");
  add_flag(app, raw, "--writable", "writable", true, help_of("writable"));
  add_flag(app, raw, "--no-writable", "writable", false,
           "nothing is written, also where the configuration says otherwise for all VMs");
  add_setting(app, raw, "--cache-size", "cache_size", "BYTES");
  add_setting(app, raw, "--cache-ttl", "cache_ttl", "DURATION");
}

/// Those that a shell may offer.
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

/// Makes MountOptions of all that was said, and collects what is wrong with it, one sentence each.
class MountOptionsMaker {
public:
  explicit MountOptionsMaker(RawOptions& raw) : raw_{raw} {}

  MountOptions make() {
    take_fuse_options();
    check_settings();
    take_source();
    take_config();
    for (const std::string& text : raw_.vms) {
      take_vm(text);
    }
    apply_settings();
    apply_config_vms();
    if (options_.vms.empty() && options_.wanted.empty() && !options_.discover && problems_.empty()) {
      problems_.emplace_back("no VM is named; leave out --no-discover, or add --vm NAME=DRIVER:KEY=VALUE,... "
                             "as --vm web01=qemu:qmp=/run/web01.qmp");
    }
    return std::move(options_);
  }

  [[nodiscard]] const std::vector<std::string>& problems() const { return problems_; }

private:
  /// Splits "-o a,b" and takes out what is ours or for mount(8).
  void take_fuse_options() {
    constexpr std::array<std::string_view, 2> kOurs{"cache_size", "cache_ttl"};
    constexpr std::string_view kConfig = "config=";
    for (const std::string& list : raw_.fuse) {
      for (const std::string_view option : split(list, ',')) {
        const std::string_view key = option.substr(0, option.find('='));
        if (option == "writable") {
          raw_.settings.push_back({"writable", "on"});
        } else if (option.starts_with(kConfig)) {
          raw_.config = option.substr(kConfig.size());
        } else if (std::ranges::find(kOurs, key) != kOurs.end() && key.size() < option.size()) {
          raw_.settings.push_back({std::string{key}, std::string{option.substr(key.size() + 1)}});
        } else if (!option.empty() && !option.starts_with("x-") && option != "defaults" &&
                   option != "nofail") {
          options_.fuse_options.emplace_back(option);
        }
      }
    }
  }

  /// What is wrong is left out from here on.
  void check_settings() {
    std::erase_if(raw_.settings, [this](const KeyValue& setting) {
      const auto wrong = wrong_value(*find_spec(mount_specs(), setting.key), setting.value);
      if (wrong) {
        std::string option = setting.key;
        std::ranges::replace(option, '_', '-');
        problems_.push_back(fmt::format("--{}: {}", option, *wrong));
      }
      return wrong.has_value();
    });
  }

  /// SOURCE of fstab: one VM and no other, or a word that stands for none, as other filesystems have it.
  void take_source() {
    if (raw_.positionals.size() < 2) {
      return;
    }
    const std::string& source = raw_.positionals.front();
    if (source != "none" && source != "vmemfs") {
      raw_.vms.push_back(source);
      raw_.settings.push_back({"discover", "off"});
      only_source_ = true;
    }
  }

  void take_config() {
    if (raw_.config.empty()) {
      raw_.config = find_config().value_or("");
    }
    if (!raw_.config.empty()) {
      config_ = read_config(raw_.config);
      std::ranges::copy(config_.problems, std::back_inserter(problems_));
    }
  }

  void take_vm(const std::string& text) {
    auto [spec, problems] = read_vm_line(text);
    for (const std::string& problem : problems) {
      problems_.push_back(fmt::format("VM '{}': {}", printable(text), problem));
    }
    options_.vms.push_back(std::move(spec));
  }

  /// The last that the command line says; else the configuration; else the default.
  void apply_settings() {
    if (!raw_.positionals.empty()) {
      raw_.settings.push_back({"mountpoint", raw_.positionals.back()});
    }
    std::vector<KeyValue> settings;
    const auto add_missing = [&](const KeyValue& pair) {
      if (std::ranges::find(settings, pair.key, &KeyValue::key) == settings.end()) {
        settings.push_back(pair);
      }
    };
    std::for_each(raw_.settings.rbegin(), raw_.settings.rend(), add_missing);
    std::ranges::for_each(config_.mount, add_missing);
    if (const auto said = Params::check(settings, mount_specs())) {
      apply(*said);
    } else {
      problems_.push_back(said.error().text);
    }
  }

  void apply(const Params& said) {
    if (said.has("mountpoint")) {
      options_.mountpoint = std::filesystem::absolute(said.text("mountpoint")).lexically_normal();
    } else {
      problems_.emplace_back("MOUNTPOINT is missing");
    }
    options_.discover = said.flag("discover");
    options_.debug = said.flag("debug");
    options_.foreground = said.flag("foreground") || options_.debug;
    options_.cache_size = said.number("cache_size");
    set_options(said, options_.vm_options.general);
    // Before those of the command line, as the last one counts.
    const auto configured = split(said.text("options"), ',');
    options_.fuse_options.insert(options_.fuse_options.begin(), configured.begin(), configured.end());
  }

  /// A VM of the command line is the one of that name, with the options that the configuration has for it.
  void apply_config_vms() {
    for (ConfiguredVm& vm : config_.vms) {
      VmOptions options = options_.vm_options.general;
      if (const auto said = Params::parse(vm.spec.options, vm_option_specs())) {
        set_options(*said, options);
      }
      options_.vm_options.by_name.emplace(vm.spec.name, options);
      const bool named = std::ranges::find(options_.vms, vm.spec.name, &VmSpec::name) != options_.vms.end();
      if (vm.attach && !named && !only_source_) {
        vm.spec.options.clear(); // they stand in the table
        options_.wanted.push_back(std::move(vm.spec));
      }
    }
  }

  RawOptions& raw_;
  Config config_;
  bool only_source_ = false;
  MountOptions options_;
  std::vector<std::string> problems_;
};

void make_mount_options(RawOptions& raw, CommandLine& result) {
  MountOptionsMaker maker{raw};
  MountOptions options = maker.make();
  if (maker.problems().empty()) {
    result.mount = std::move(options);
    return;
  }
  for (const std::string& problem : maker.problems()) {
    std::cerr << "vmemfs: " << problem << '\n';
  }
  std::cerr << "Run 'vmemfs --help' for more.\n";
  result.exit_code = 2;
}

} // namespace

CommandLine parse_command_line(int argc, char** argv) {
  RawOptions raw;
  CLI::App app{std::string{kDescription}, "vmemfs"};
  app.set_version_flag("-V,--version", "vmemfs " VMEMFS_VERSION);
  app.formatter(std::make_shared<Formatter>());
  app.footer(footer());
  define_mount_options(app, raw);
  CLI::App* const list = app.add_subcommand("list", "list the VMs that can be seen, and by which driver");
  list->add_flag("--json", raw.list.json, "as JSON, one array");
  CLI::App* const drivers = app.add_subcommand("drivers", "list the drivers and their parameters");
  drivers->add_option("NAME", raw.drivers.name, "only this driver");
  const CLI::App* const check = app.add_subcommand(
      "check", "is this host ready? Each 'no' with what helps; ends with 1 if something needed is missing");
  const CLI::App* const guardian =
      app.add_subcommand(std::string{Guardian::kSubcommand})->group(""); // hidden

  CommandLine result;
  if (argc > 1 && argv[1] == kCompleteSubcommand) { // what follows is no command line yet
    result.completion = {{argv + 2, argv + argc}, option_names(app)};
    return result;
  }
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    // CLI11 has codes of its own; ours are 0 and, for a wrong command line, 2.
    result.exit_code = app.exit(error) == 0 ? 0 : 2;
    return result;
  }
  if (drivers->parsed()) {
    result.drivers = raw.drivers;
  } else if (list->parsed()) {
    result.list = raw.list;
  } else if (check->parsed()) {
    result.check = CheckHost{};
  } else if (guardian->parsed()) {
    result.guardian = true;
  } else {
    make_mount_options(raw, result);
  }
  return result;
}

} // namespace vmemfs
