// SPDX-License-Identifier: MIT
#include "drivers/kvm/identity/place_name.h"

#include "core/text.h"

#include <algorithm>
#include <array>
#include <cctype>
#include <optional>
#include <vector>

namespace vmemfs::kvm {
namespace {

/// A cgroup's path is shorter.
constexpr std::size_t kMaxText = 64 << 10;

std::string_view without_end(std::string_view text, std::string_view end) {
  return text.ends_with(end) ? text.substr(0, text.size() - end.size()) : std::string_view{};
}

std::string_view last_name(std::string_view path) { return path.substr(path.rfind('/') + 1); }

/// "" if there is none.
std::string_view above(std::string_view path) {
  return path.substr(0, std::min(path.rfind('/'), path.size()));
}

/// NAME of .../NAME/root.
std::string_view jail_name(std::string_view root) {
  return last_name(root) == "root" ? last_name(above(root)) : std::string_view{};
}

std::string_view from_jail(const VmPlace& place) {
  if (const std::string_view name = jail_name(place.root); !name.empty()) {
    return name;
  }
  // Firecracker's jailer copies it to BASE/firecracker/NAME/root/firecracker.
  std::string_view executable = place.executable.substr(0, place.executable.find(" (deleted)"));
  const std::string_view folder = above(executable);
  const bool in_jail = last_name(above(above(folder))) == last_name(executable) && !executable.empty();
  return in_jail ? jail_name(folder) : std::string_view{};
}

bool is_hex(std::string_view text) {
  return std::ranges::all_of(text, [](unsigned char c) { return std::isxdigit(c) != 0; });
}

/// The ID of the name of a container's cgroup, such as libpod-ID.scope.
std::string_view container(std::string_view name) {
  constexpr std::size_t kDigits = 64;
  constexpr std::size_t kShown = 12;
  std::string_view id = name.ends_with(".scope") ? without_end(name, ".scope") : name;
  id = id.substr(id.rfind('-') + 1);
  return id.size() == kDigits && is_hex(id) ? id.substr(0, kShown) : std::string_view{};
}

std::optional<char> escaped(std::string_view text) {
  const auto code = text.size() >= 4 && text.starts_with("\\x") ? parse_hex(text.substr(2, 2)) : std::nullopt;
  return code ? std::optional{static_cast<char>(*code)} : std::nullopt;
}

/// Names of units have other characters than letters, digits and some more as \xNN.
std::string unescape(std::string_view text) {
  std::string plain;
  for (std::size_t at = 0; at < text.size(); ++at) {
    const auto code = escaped(text.substr(at));
    plain += code.value_or(text[at]);
    at += code ? 3 : 0;
  }
  return plain;
}

/// NAME of machine-qemu\x2dN\x2dNAME.scope.
std::string libvirt_domain(std::string_view name) {
  const std::string plain = unescape(without_end(name, ".scope"));
  constexpr std::string_view kStart = "machine-qemu-";
  if (!plain.starts_with(kStart)) {
    return {};
  }
  const std::size_t dash = plain.find('-', kStart.size());
  return dash != std::string::npos ? plain.substr(dash + 1) : std::string{};
}

/// NAME of UNIT@NAME.service; but user@1000.service is a user's, of all that he runs.
std::string instance(std::string_view name) {
  const std::string_view unit = without_end(name, ".service");
  const std::size_t at = unit.find('@');
  return at != std::string_view::npos && at > 0 && unit.substr(0, at) != "user"
             ? unescape(unit.substr(at + 1))
             : std::string{};
}

std::string from_cgroup(std::string_view path, std::string_view executable) {
  std::vector<std::string_view> names = split(path, '/');
  std::ranges::reverse(names); // the closest one first
  for (const std::string_view name : names) {
    if (const std::string_view id = container(name); !id.empty()) {
      return std::string{id};
    }
    if (name.starts_with("kata_")) {
      return std::string{name.substr(5, 12)};
    }
    for (std::string found : {libvirt_domain(name), instance(name)}) {
      if (!found.empty()) {
        return found;
      }
    }
  }
  const bool by_jailer = !executable.empty() && last_name(above(path)) == executable;
  return std::string{by_jailer ? last_name(path) : std::string_view{}};
}

/// The path of each hierarchy, the unified one first.
std::vector<std::string_view> cgroup_paths(std::string_view text) {
  std::vector<std::string_view> paths;
  for (const std::string_view line : split(text.substr(0, kMaxText), '\n')) {
    const std::size_t first = line.find(':');
    const std::size_t second = first == std::string_view::npos ? first : line.find(':', first + 1);
    if (second != std::string_view::npos) {
      paths.insert(line.starts_with("0::") ? paths.begin() : paths.end(), line.substr(second + 1));
    }
  }
  return paths;
}

} // namespace

std::string name_from_place(const VmPlace& place) {
  if (const std::string_view name = from_jail(place); !name.empty()) {
    return std::string{name};
  }
  constexpr std::string_view kLibkrun = "VM:";
  if (place.short_name.starts_with(kLibkrun) && place.short_name.size() > kLibkrun.size()) {
    return std::string{place.short_name.substr(kLibkrun.size())};
  }
  const std::string_view executable = place.executable.substr(0, place.executable.find(" (deleted)"));
  for (const std::string_view path : cgroup_paths(place.cgroups)) {
    if (std::string name = from_cgroup(path, last_name(executable)); !name.empty()) {
      return name;
    }
  }
  return {};
}

} // namespace vmemfs::kvm
