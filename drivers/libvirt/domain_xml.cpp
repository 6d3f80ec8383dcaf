#include "drivers/libvirt/domain_xml.h"

#include "core/text.h"
#include "drivers/libvirt/handles.h"

#include <algorithm>
#include <array>
#include <fmt/format.h>
#include <limits>
#include <numeric>
#include <optional>
#include <pugixml.hpp>
#include <utility>

namespace vmemfs::libvirt {
namespace {

constexpr std::size_t kMostText = std::size_t{16} << 20U;
constexpr std::uint64_t kMostMemory = std::uint64_t{1} << 52U;
constexpr std::uint64_t kMiB = std::uint64_t{1} << 20U;
constexpr std::uint64_t kGiB = std::uint64_t{1} << 30U;

tl::unexpected<Error> no_description(std::string_view why) {
  return fail(ErrorKind::invalid, kOrigin,
              fmt::format("libvirt's description of the domain is not understood: {}", why));
}

/// Whole KiB or bytes: all that libvirt prints for a running domain.
std::optional<std::uint64_t> bytes_of(const pugi::xml_node& node) {
  const std::string_view unit = node.attribute("unit").as_string("KiB");
  const auto number = parse_u64(trim(node.text().get()));
  const std::uint64_t factor = unit == "KiB" || unit == "k" ? 1024 : unit == "b" || unit == "bytes" ? 1 : 0;
  if (!number || factor == 0 || *number > kMostMemory / factor) {
    return std::nullopt;
  }
  return *number * factor;
}

/// QEMU's options that may move memory.
bool moves_memory(std::string_view argument) {
  constexpr std::array<std::string_view, 8> kOptions{"-m",      "-M",      "-numa", "-object",
                                                     "-global", "-device", "-set",  "-readconfig"};
  return argument.starts_with("-machine") || std::ranges::find(kOptions, argument) != kOptions.end();
}

void take_raw_options(const pugi::xml_node& domain, DomainDescription& description) {
  for (const pugi::xml_node& argument : domain.child("qemu:commandline").children("qemu:arg")) {
    if (const std::string_view value = argument.attribute("value").as_string(); moves_memory(value)) {
      description.unknown = fmt::format("it gives QEMU the option {}", printable(value));
    }
  }
}

Result<void> take_memory_devices(const pugi::xml_node& domain, DomainDescription& description) {
  for (const pugi::xml_node& device : domain.child("devices").children("memory")) {
    const std::string_view model = device.attribute("model").as_string();
    if (model != "dimm") {
      description.unknown = fmt::format("it has a memory device of model '{}'", printable(model));
      continue;
    }
    const auto size = bytes_of(device.child("target").child("size"));
    const auto base = parse_u64(device.child("address").attribute("base").as_string());
    if (!size || !base || *size == 0 || *base >= kMostMemory) {
      return no_description("a DIMM without a size or a place");
    }
    description.dimms.push_back({Gpa{*base}, Gpa{*base + *size}});
  }
  return {};
}

/// "pc-q35-7.2" with `family` "pc-q35-": 7002.
std::optional<unsigned> version_of(std::string_view machine, std::string_view family) {
  if (!machine.starts_with(family)) {
    return std::nullopt;
  }
  const auto parts = split(machine.substr(family.size()), '.');
  const auto major = parts.size() >= 2 ? parse_u64(parts[0]) : std::nullopt;
  const auto minor = parts.size() >= 2 ? parse_u64(parts[1]) : std::nullopt;
  if (!major || !minor || *major > 999 || *minor > 999) {
    return std::nullopt;
  }
  return static_cast<unsigned>(*major * 1000 + *minor);
}

/// How much of the memory lies below 4 GiB; the rest begins there. Machines before 2.1 do it differently.
std::optional<std::uint64_t> low_memory(std::string_view machine, std::uint64_t size) {
  constexpr unsigned kOldest = 2001;
  if (const auto version = version_of(machine, "pc-i440fx-"); version >= kOldest) {
    return size < 3584 * kMiB ? size : 3 * kGiB;
  }
  if (const auto version = version_of(machine, "pc-q35-"); version >= kOldest) {
    return size < 2816 * kMiB ? size : 2 * kGiB;
  }
  return std::nullopt;
}

} // namespace

Result<DomainDescription> parse_domain_xml(std::string_view text) {
  pugi::xml_document document;
  if (text.size() > kMostText) {
    return no_description(fmt::format("it is {} bytes long", text.size()));
  }
  const auto parsed =
      document.load_buffer(text.data(), text.size(), pugi::parse_default, pugi::encoding_utf8);
  const pugi::xml_node domain = document.child("domain");
  if (!parsed || domain.empty()) {
    return no_description(parsed ? "no domain in it" : parsed.description());
  }
  DomainDescription description;
  const pugi::xml_node type = domain.child("os").child("type");
  description.arch = type.attribute("arch").as_string();
  description.machine = type.attribute("machine").as_string();
  const auto memory = bytes_of(domain.child("memory"));
  if (!memory || *memory == 0) {
    return no_description("no memory size in it");
  }
  description.memory_bytes = *memory;
  const pugi::xml_node vcpu = domain.child("vcpu");
  const auto vcpus = parse_u64(vcpu.attribute("current").as_string(vcpu.text().get()));
  description.vcpus = static_cast<std::uint32_t>(std::min<std::uint64_t>(vcpus.value_or(0), 4096));
  take_raw_options(domain, description);
  return take_memory_devices(domain, description).map([&] { return std::move(description); });
}

Result<MemoryMap> map_by_description(const DomainDescription& domain) {
  const auto cant = [](std::string_view why) {
    return fail(ErrorKind::unsupported, kOrigin,
                fmt::format("where the domain's memory lies does not follow from its description: {}", why));
  };
  if (!domain.unknown.empty()) {
    return cant(domain.unknown);
  }
  const std::uint64_t dimms =
      std::accumulate(domain.dimms.begin(), domain.dimms.end(), std::uint64_t{0},
                      [](std::uint64_t sum, const GpaRange& dimm) { return sum + dimm.size(); });
  if (dimms >= domain.memory_bytes) {
    return cant("its DIMMs are all its memory");
  }
  const std::uint64_t main = domain.memory_bytes - dimms;
  const bool x86 = domain.arch == "x86_64" || domain.arch == "i686";
  const auto low = x86 ? low_memory(domain.machine, main) : std::nullopt;
  if (!low || main <= kMiB) {
    return cant(fmt::format("machine type '{}' of {}", printable(domain.machine), printable(domain.arch)));
  }
  // Between 640 KiB and 1 MiB there are video memory, option ROMs and firmware: which, the guest decides.
  constexpr Gpa kEndOfBase{0xa0000};
  std::vector<Region> regions{{{Gpa{0}, kEndOfBase}, RegionKind::ram, true, 0, 0},
                              {{Gpa{kMiB}, Gpa{*low}}, RegionKind::ram, true, 0, kMiB}};
  if (main > *low) {
    regions.push_back({{Gpa{4 * kGiB}, Gpa{4 * kGiB + main - *low}}, RegionKind::ram, true, 0, *low});
  }
  std::vector<std::string> blocks{"memory"};
  for (const GpaRange& dimm : domain.dimms) {
    regions.push_back({dimm, RegionKind::ram, true, static_cast<std::uint32_t>(blocks.size()), 0});
    blocks.push_back(fmt::format("dimm{}", blocks.size() - 1));
  }
  return MemoryMap::build(std::move(regions), std::move(blocks));
}

} // namespace vmemfs::libvirt
