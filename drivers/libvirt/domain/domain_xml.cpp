// SPDX-License-Identifier: MIT
#include "drivers/libvirt/domain/domain_xml.h"

#include "core/text.h"
#include "drivers/libvirt/connection/handles.h"

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

constexpr std::size_t kMaxText = std::size_t{16} << 20U;
constexpr std::uint64_t kMaxMemory = std::uint64_t{1} << 52U;
constexpr std::uint64_t kMiB = std::uint64_t{1} << 20U;
constexpr std::uint64_t kGiB = std::uint64_t{1} << 30U;

tl::unexpected<Error> no_description(std::string_view why) {
  return fail(ErrorKind::invalid, kOrigin,
              fmt::format("cannot parse libvirt's description of the domain: {}", why));
}

/// In the units that libvirt prints for a running domain.
std::optional<std::uint64_t> bytes_of(const pugi::xml_node& node) {
  constexpr std::array<std::pair<std::string_view, std::uint64_t>, 7> kUnits{
      {{"KiB", 1024}, {"k", 1024}, {"b", 1}, {"B", 1}, {"bytes", 1}, {"MiB", kMiB}, {"GiB", kGiB}}};
  const std::string_view unit = node.attribute("unit").as_string("KiB");
  const auto number = parse_u64(trim(node.text().get()));
  const auto* const known =
      std::ranges::find(kUnits, unit, &std::pair<std::string_view, std::uint64_t>::first);
  const std::uint64_t factor = known != kUnits.end() ? known->second : 0;
  if (!number || factor == 0 || *number > kMaxMemory / factor) {
    return std::nullopt;
  }
  return *number * factor;
}

/// Options of QEMU that may move memory.
bool moves_memory(std::string_view argument) {
  constexpr std::array<std::string_view, 8> kOptions{"-m",      "-M",      "-numa", "-object",
                                                     "-global", "-device", "-set",  "-readconfig"};
  return argument.starts_with("-machine") || std::ranges::find(kOptions, argument) != kOptions.end();
}

void take_raw_options(const pugi::xml_node& domain, DomainDescription& description) {
  for (const pugi::xml_node& argument : domain.child("qemu:commandline").children("qemu:arg")) {
    const std::string_view value = argument.attribute("value").as_string();
    if (moves_memory(value)) {
      description.unknown = fmt::format("it passes the option {} to QEMU", printable(value));
    }
    if (value == "-mem-path" || value.starts_with("memory-backend-file") ||
        value.starts_with("memory-backend-memfd")) {
      description.reading_allocates = "what a QEMU option specifies";
    }
  }
}

Result<void> take_memory_devices(const pugi::xml_node& domain, DomainDescription& description) {
  for (const pugi::xml_node& device : domain.child("devices").children("memory")) {
    const std::string_view model = device.attribute("model").as_string();
    if (model == "nvdimm" || device.child("source") ||
        std::string_view{device.attribute("access").as_string()} == "shared") {
      description.reading_allocates = "partly a memory device with its own backing";
    }
    if (model != "dimm") {
      description.unknown = fmt::format("it has a memory device of model '{}'", printable(model));
      continue;
    }
    const auto size = bytes_of(device.child("target").child("size"));
    const auto base = parse_u64(device.child("address").attribute("base").as_string());
    if (!size || !base || *size == 0 || *base >= kMaxMemory) {
      return no_description("a DIMM has no size or address");
    }
    description.dimms.push_back({Gpa{*base}, Gpa{*base + *size}});
  }
  return {};
}

/// Memory in a file or in huge pages has no shared zero page for what was never written: even a read
/// allocates pages.
void take_backing(const pugi::xml_node& domain, DomainDescription& description) {
  const pugi::xml_node backing = domain.child("memoryBacking");
  const std::string_view source = backing.child("source").attribute("type").as_string();
  const auto is_shared = [](const pugi::xml_node& node) {
    return std::string_view{node.attribute("memAccess").as_string()} == "shared";
  };
  const auto cells = domain.child("cpu").child("numa").children("cell");
  if (backing.child("hugepages")) {
    description.reading_allocates = "huge pages";
  } else if (source == "file" || source == "memfd") {
    description.reading_allocates = fmt::format("a {}", source);
  } else if (std::string_view{backing.child("access").attribute("mode").as_string()} == "shared" ||
             std::any_of(cells.begin(), cells.end(), is_shared)) {
    description.reading_allocates = "shared memory";
  }
}

/// The firmware's own memory for system management mode (TSEG). The firmware decides its size: up to what
/// QEMU offers, 16 MiB by default.
void take_smm(const pugi::xml_node& domain, DomainDescription& description) {
  const pugi::xml_node smm = domain.child("features").child("smm");
  if (std::string_view{smm.attribute("state").as_string()} != "on") {
    return;
  }
  const auto size = smm.child("tseg") ? bytes_of(smm.child("tseg")) : std::optional{16 * kMiB};
  if (!size) {
    description.unknown = "it has a TSEG of unknown size";
  }
  description.smm_memory = size.value_or(0);
}

void take_limits(const pugi::xml_node& domain, DomainDescription& description) {
  const pugi::xml_node max_node = domain.child("maxMemory");
  description.max_memory =
      std::max(description.memory_bytes, max_node ? bytes_of(max_node).value_or(kMaxMemory) : 0);
  for (const pugi::xml_node& controller : domain.child("devices").children("controller")) {
    if (const pugi::xml_node hole = controller.child("pcihole64")) {
      description.pci_hole = std::max(description.pci_hole, bytes_of(hole).value_or(kMaxMemory));
    }
  }
}

/// Machine types of distributors, such as "pc-q35-rhel9.4.0" and "pc-i440fx-jammy", have the memory layout of
/// QEMU's own. Not those of RHEL before 7.1 and Ubuntu before 16.04, which are as old as QEMU 2.0.
bool is_distributors(std::string_view version) {
  constexpr std::array<std::string_view, 20> kUbuntu{"xenial",  "yakkety", "zesty",    "artful",  "bionic",
                                                     "cosmic",  "disco",   "eoan",     "focal",   "groovy",
                                                     "hirsute", "impish",  "jammy",    "kinetic", "lunar",
                                                     "mantic",  "noble",   "oracular", "plucky",  "questing"};
  constexpr std::string_view kRhel = "rhel";
  if (version.starts_with(kRhel)) {
    const auto parts = split(version.substr(kRhel.size()), '.');
    const auto major = !parts.empty() ? parse_u64(parts[0]) : std::nullopt;
    const auto minor = parts.size() > 1 ? parse_u64(parts[1]) : std::nullopt;
    return major && minor && (*major > 7 || (*major == 7 && *minor > 0));
  }
  return std::ranges::find(kUbuntu, version.substr(0, version.find('-'))) != kUbuntu.end();
}

constexpr unsigned kNewest = 999'999;

/// "pc-q35-7.2" with `family` "pc-q35-": 7002. For a distributor's machine type: kNewest.
std::optional<unsigned> version_of(std::string_view machine, std::string_view family) {
  if (!machine.starts_with(family)) {
    return std::nullopt;
  }
  if (is_distributors(machine.substr(family.size()))) {
    return kNewest;
  }
  const auto parts = split(machine.substr(family.size()), '.');
  const auto major = parts.size() >= 2 ? parse_u64(parts[0]) : std::nullopt;
  const auto minor = parts.size() >= 2 ? parse_u64(parts[1]) : std::nullopt;
  if (!major || !minor || *major > 999 || *minor > 999) {
    return std::nullopt;
  }
  return static_cast<unsigned>(*major * 1000 + *minor);
}

struct Layout {
  std::uint64_t low;    ///< how much of the memory is below 4 GiB; the rest begins there
  bool may_begin_later; ///< or at 1 TiB, see may_reach_the_gap()
  std::uint64_t smm;    ///< how much of `low`, at its end, may belong to the firmware
};

/// Machine types before 2.1 have another layout.
std::optional<Layout> layout_of(const DomainDescription& domain, std::uint64_t size) {
  constexpr unsigned kMinVersion = 2001;
  constexpr unsigned kWithGap = 7001;
  if (const auto version = version_of(domain.machine, "pc-i440fx-"); version >= kMinVersion) {
    return Layout{size < 3584 * kMiB ? size : 3 * kGiB, version >= kWithGap, 0};
  }
  if (const auto version = version_of(domain.machine, "pc-q35-"); version >= kMinVersion) {
    return Layout{size < 2816 * kMiB ? size : 2 * kGiB, version >= kWithGap, domain.smm_memory};
  }
  return std::nullopt;
}

/// With an AMD processor all memory above 4 GiB begins at 1 TiB instead if anything, PCI devices included,
/// could reach the addresses below 1 TiB that AMD reserves (QEMU's enforce_amd_1tb_hole). The description
/// says neither whether the processor is one of AMD's nor how much address space PCI takes.
bool may_reach_the_gap(const DomainDescription& domain) {
  constexpr std::uint64_t kGap = 1012 * kGiB;
  constexpr std::uint64_t kForPciAndSlots = 320 * kGiB;
  return domain.max_memory + std::max(domain.pci_hole, kForPciAndSlots) > kGap;
}

/// The list is there if a vCPU is not plugged in, or can be unplugged; else there is only their number.
Result<void> take_vcpus(const pugi::xml_node& domain, DomainDescription& description) {
  const pugi::xml_node count = domain.child("vcpu");
  const auto max = parse_u64(count.text().get());
  const auto current = parse_u64(count.attribute("current").as_string(count.text().get()));
  description.vcpus = VcpuSet::first(
      static_cast<std::uint32_t>(std::min<std::uint64_t>(current.value_or(0), VcpuSet::kMaxVcpus)));
  description.vcpus_vary = max > current;
  const pugi::xml_node list = domain.child("vcpus");
  if (list.empty()) {
    return {};
  }
  std::vector<VcpuId> plugged;
  for (const pugi::xml_node vcpu : list.children("vcpu")) {
    const auto number = parse_u64(vcpu.attribute("id").as_string());
    if (!number || *number >= VcpuSet::kMaxVcpus) {
      return no_description("one of its vCPUs has no valid number");
    }
    const bool enabled = std::string_view{vcpu.attribute("enabled").as_string()} == "yes";
    const bool fixed = std::string_view{vcpu.attribute("hotpluggable").as_string()} == "no";
    description.vcpus_vary = description.vcpus_vary || !enabled || !fixed;
    if (enabled) {
      plugged.emplace_back(static_cast<std::uint32_t>(*number));
    }
  }
  return VcpuSet::of(std::move(plugged), kOrigin).map([&](VcpuSet&& set) {
    description.vcpus = std::move(set);
  });
}

} // namespace

Result<DomainDescription> parse_domain_xml(std::string_view text) {
  pugi::xml_document document;
  if (text.size() > kMaxText) {
    return no_description(fmt::format("it is {} bytes long", text.size()));
  }
  const auto parsed =
      document.load_buffer(text.data(), text.size(), pugi::parse_default, pugi::encoding_utf8);
  const pugi::xml_node domain = document.child("domain");
  if (!parsed || domain.empty()) {
    return no_description(parsed ? "it has no domain element" : parsed.description());
  }
  DomainDescription description;
  const pugi::xml_node type = domain.child("os").child("type");
  description.arch = type.attribute("arch").as_string();
  description.machine = type.attribute("machine").as_string();
  const auto memory = bytes_of(domain.child("memory"));
  if (!memory || *memory == 0) {
    return no_description("it has no memory size");
  }
  description.memory_bytes = *memory;
  if (auto taken = take_vcpus(domain, description); !taken) {
    return tl::unexpected{std::move(taken.error())};
  }
  take_raw_options(domain, description);
  take_backing(domain, description);
  take_smm(domain, description);
  take_limits(domain, description);
  return take_memory_devices(domain, description).map([&] { return std::move(description); });
}

Result<MemoryMap> map_by_description(const DomainDescription& domain) {
  const auto cant = [](std::string_view why) {
    return fail(ErrorKind::unsupported, kOrigin,
                fmt::format("cannot compute the memory map from the domain's description: {}", why));
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
  const auto layout = x86 ? layout_of(domain, main) : std::nullopt;
  if (layout && layout->may_begin_later && main > layout->low && may_reach_the_gap(domain)) {
    return cant("with an AMD processor memory of this size may begin at 1 TiB instead of 4 GiB");
  }
  if (!layout || main <= kMiB || layout->low <= kMiB + layout->smm) {
    return cant(fmt::format("machine type '{}' of {}", printable(domain.machine), printable(domain.arch)));
  }
  // Between 640 KiB and 1 MiB there are video memory, option ROMs and firmware; the guest decides which.
  constexpr Gpa kEndOfBase{0xa0000};
  std::vector<Region> regions{{{Gpa{0}, kEndOfBase}, RegionKind::ram, true, 0, 0},
                              {{Gpa{kMiB}, Gpa{layout->low - layout->smm}}, RegionKind::ram, true, 0, kMiB}};
  if (main > layout->low) {
    regions.push_back(
        {{Gpa{4 * kGiB}, Gpa{4 * kGiB + main - layout->low}}, RegionKind::ram, true, 0, layout->low});
  }
  std::vector<std::string> blocks{"memory"};
  for (const GpaRange& dimm : domain.dimms) {
    regions.push_back({dimm, RegionKind::ram, true, static_cast<std::uint32_t>(blocks.size()), 0});
    blocks.push_back(fmt::format("dimm{}", blocks.size() - 1));
  }
  return MemoryMap::build(std::move(regions), std::move(blocks));
}

} // namespace vmemfs::libvirt
