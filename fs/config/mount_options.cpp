// SPDX-License-Identifier: MIT
#include "fs/config/mount_options.h"

#include "core/gpa.h"
#include "core/text.h"
#include "fs/config/config.h"
#include "fs/config/mount_settings.h"
#include "fs/vm_line.h"

#include <algorithm>
#include <array>
#include <filesystem>
#include <fmt/format.h>
#include <iterator>
#include <string_view>
#include <utility>

namespace vmemfs {
namespace {

/// Options that mean something to mount(8), to systemd or to filesystems with times and files of their own,
/// and that helpers pass on.
bool is_for_others(std::string_view option) {
  constexpr std::array<std::string_view, 25> kWords{
      "",           "defaults",   "auto",        "noauto",        "nofail",   "_netdev",  "user",
      "nouser",     "users",      "group",       "owner",         "nonempty", "relatime", "norelatime",
      "lazytime",   "nolazytime", "strictatime", "nostrictatime", "silent",   "loud",     "iversion",
      "noiversion", "mand",       "nomand",      "diratime"};
  constexpr std::array<std::string_view, 4> kPrefixes{"x-", "X-", "comment=", "user="};
  return std::ranges::find(kWords, option) != kWords.end() ||
         std::ranges::any_of(kPrefixes, [&](std::string_view prefix) { return option.starts_with(prefix); });
}

/// Why an option is not one of vmemfs, or empty.
std::string_view why_refused(std::string_view option) {
  const std::string_view key = option.substr(0, option.find('='));
  if (key == "subtype") {
    return "subtype= is not an option: the type is fuse.vmemfs, by which mounts are found";
  }
  if (key == "max_read") {
    return "max_read= is not an option: the kernel asks for up to 1 MiB at once, and less is slower";
  }
  return {};
}

class MountOptionsMaker {
public:
  explicit MountOptionsMaker(MountArguments arguments) : arguments_{std::move(arguments)} {}

  MadeOptions make() {
    take_fuse_options();
    check_settings();
    if (options_.remount) {
      return make_for_remount();
    }
    take_source();
    take_config();
    for (const std::string& text : arguments_.vms) {
      take_vm(text);
    }
    apply_settings();
    const bool is_config_unread = !config_.problems.empty() && config_.mount.empty(); // it may name it
    if (options_.mountpoint.empty() && !is_config_unread) {
      problems_.emplace_back("MOUNTPOINT is missing");
    }
    apply_config_vms();
    if (options_.vms.empty() && options_.wanted.empty() && !options_.discover && problems_.empty()) {
      problems_.emplace_back("no VM is named; omit --no-discover, or add --vm NAME=DRIVER:KEY=VALUE,... such "
                             "as --vm web01=qemu:qmp=/run/web01.qmp");
    }
    return {std::move(options_), std::move(problems_)};
  }

  /// Only flags of the mount: the daemon that serves it does not take any.
  MadeOptions make_for_remount() {
    const auto allowed = [](const KeyValue& setting) {
      return setting.key == "foreground" || setting.key == "debug" || setting.key == "discover";
    };
    if (!arguments_.vms.empty() || !arguments_.discoveries.empty() ||
        !std::ranges::all_of(arguments_.settings, allowed)) {
      problems_.emplace_back(
          "remount changes flags such as ro; VMs, discovery and settings are changed by a new "
          "mount, or in control");
    }
    if (arguments_.positionals.empty()) {
      problems_.emplace_back("MOUNTPOINT is missing");
    } else {
      options_.mountpoint = std::filesystem::absolute(arguments_.positionals.back()).lexically_normal();
    }
    return {std::move(options_), std::move(problems_)};
  }

  MadeOptions make_for_list() {
    take_config();
    apply_settings();
    return {std::move(options_), std::move(problems_)};
  }

private:
  /// Splits "-o a,b" and removes the options of vmemfs and of mount(8).
  void take_fuse_options() {
    constexpr std::array<std::string_view, 3> kOurs{"cache_size", "cache_ttl", "cache_kernel"};
    constexpr std::string_view kConfig = "config=";
    for (const std::string& list : arguments_.fuse) {
      for (const std::string_view option : split(list, ',')) {
        const std::string_view key = option.substr(0, option.find('='));
        if (option == "writable") {
          arguments_.settings.push_back({"writable", "on"});
        } else if (option.starts_with(kConfig)) {
          arguments_.config = option.substr(kConfig.size());
        } else if (std::ranges::find(kOurs, key) != kOurs.end() && key.size() < option.size()) {
          arguments_.settings.push_back({std::string{key}, std::string{option.substr(key.size() + 1)}});
        } else if (option == "remount") {
          options_.remount = true;
        } else if (!is_for_others(option)) {
          options_.fuse_options.emplace_back(option);
        }
      }
    }
  }

  /// Reports invalid settings and removes them.
  void check_settings() {
    if (!arguments_.discoveries.empty()) {
      if (std::ranges::find(arguments_.settings, KeyValue{"discover", "off"}) != arguments_.settings.end()) {
        problems_.emplace_back("--discover and --no-discover exclude each other");
      }
      arguments_.settings.push_back({"discover", "on"}); // overrides the configuration
    }
    std::erase_if(arguments_.settings, [this](const KeyValue& setting) {
      const auto wrong = wrong_value(*find_spec(mount_specs(), setting.key), setting.value);
      if (wrong) {
        std::string option = setting.key;
        std::ranges::replace(option, '_', '-');
        problems_.push_back(fmt::format("--{}: {}", option, *wrong));
      }
      return wrong.has_value();
    });
  }

  /// SOURCE of fstab: one VM only, or a word that means none, as for other filesystems.
  void take_source() {
    if (arguments_.positionals.size() < 2) {
      return;
    }
    const std::string& source = arguments_.positionals.front();
    if (source != "none" && source != "vmemfs") {
      arguments_.vms.push_back(source);
      arguments_.settings.push_back({"discover", "off"});
      only_source_ = true;
    }
  }

  void take_config() {
    const auto path = arguments_.config ? arguments_.config : find_config();
    if (path && path->empty()) {
      problems_.emplace_back("--config: the file's name is missing");
    } else if (path) {
      config_ = read_config(*path, arguments_.config ? ConfigSource::named_by_user : ConfigSource::found);
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

  /// The last value on the command line; else the configuration; else the default.
  void apply_settings() {
    if (!arguments_.positionals.empty()) {
      arguments_.settings.push_back({"mountpoint", arguments_.positionals.back()});
    }
    std::vector<KeyValue> settings;
    const auto add_missing = [&](const KeyValue& pair) {
      if (std::ranges::find(settings, pair.key, &KeyValue::key) == settings.end()) {
        settings.push_back(pair);
      }
    };
    std::for_each(arguments_.settings.rbegin(), arguments_.settings.rend(), add_missing);
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
    }
    options_.discover = said.flag("discover");
    take_discoveries(said);
    options_.debug = said.flag("debug");
    options_.foreground = said.flag("foreground") || options_.debug;
    options_.cache_size = said.number("cache_size");
    if (options_.cache_size != 0 && options_.cache_size < kPageSize) {
      problems_.push_back(
          fmt::format("--cache-size: {} bytes have no room for a page; give it {} or more, or 0 "
                      "for no cache",
                      options_.cache_size, kPageSize));
    }
    set_options(said, options_.vm_options.general);
    // Inserted before those of the command line, because the last one counts.
    auto configured = split(said.text("options"), ',');
    std::erase_if(configured, is_for_others);
    options_.fuse_options.insert(options_.fuse_options.begin(), configured.begin(), configured.end());
    for (const std::string& option : options_.fuse_options) {
      if (const std::string_view why = why_refused(option); !why.empty()) {
        problems_.emplace_back(why);
      }
    }
  }

  /// The drivers that scan for VMs, in order of preference.
  void take_discoveries(const Params& said) {
    if (arguments_.discoveries.empty() && options_.discover) {
      for (const std::string_view line : split(said.text("discover_with"), kDiscoverySeparator)) {
        arguments_.discoveries.emplace_back(line);
      }
    }
    for (const std::string& text : arguments_.discoveries) {
      auto [spec, problems] = read_discovery_line(text);
      for (const std::string& problem : problems) {
        problems_.push_back(fmt::format("--discover '{}': {}", printable(text), problem));
      }
      options_.discoveries.push_back(std::move(spec));
    }
  }

  /// A VM of the command line also gets the options that the configuration has for its name.
  void apply_config_vms() {
    for (ConfiguredVm& vm : config_.vms) {
      VmOptions options = options_.vm_options.general;
      if (const auto said = Params::parse(vm.spec.options, vm_option_specs())) {
        set_options(*said, options);
      }
      options_.vm_options.by_name.emplace(vm.spec.name, options);
      const bool named = std::ranges::find(options_.vms, vm.spec.name, &VmSpec::name) != options_.vms.end();
      if (vm.attach && !named && !only_source_) {
        vm.spec.options.clear(); // they are in the table
        options_.wanted.push_back(std::move(vm.spec));
      }
    }
  }

  MountArguments arguments_;
  Config config_;
  bool only_source_ = false;
  MountOptions options_;
  std::vector<std::string> problems_;
};

} // namespace

MadeOptions make_mount_options(MountArguments arguments) {
  return MountOptionsMaker{std::move(arguments)}.make();
}

MadeOptions make_list_options(MountArguments arguments) {
  return MountOptionsMaker{std::move(arguments)}.make_for_list();
}

} // namespace vmemfs
