// SPDX-License-Identifier: MIT
#include "drivers/gdbstub/target/target_description.h"

#include "core/text.h"

#include <algorithm>
#include <array>
#include <fmt/format.h>
#include <optional>
#include <pugixml.hpp>
#include <utility>

namespace vmemfs::gdbstub {
namespace {

constexpr std::string_view kOrigin = "gdbstub";
constexpr unsigned kMaxIncludes = 64;
constexpr unsigned kMaxDepth = 8;
constexpr std::size_t kMaxTargetRegisters = 8192;
constexpr std::uint64_t kMaxRegisterBits = std::uint64_t{4096} * 8; ///< those of SVE and SME are large
constexpr std::size_t kMaxName = 128;

tl::unexpected<Error> no_description(std::string_view why) {
  return fail(ErrorKind::source_failed, kOrigin,
              fmt::format("cannot parse the server's target description: {}", why));
}

class Parser {
public:
  explicit Parser(const FetchDescription& fetch) : fetch_{fetch} {}

  Result<void> parse(std::string_view text, unsigned depth) {
    if (text.size() > kMaxDescriptionBytes) {
      return no_description(fmt::format("it is over {} bytes long", kMaxDescriptionBytes));
    }
    pugi::xml_document document;
    const auto parsed =
        document.load_buffer(text.data(), text.size(), pugi::parse_default, pugi::encoding_utf8);
    if (!parsed) {
      return no_description(parsed.description());
    }
    const pugi::xml_node root = document.document_element();
    const std::string_view name = root.name();
    if (name == "feature") {
      return take_feature(root, depth);
    }
    return name == "target" ? take_target(root, depth)
                            : no_description(fmt::format("it is a '{}'", printable(name)));
  }

  TargetDescription finish() {
    auto& registers = description_.registers;
    std::ranges::stable_sort(registers, {}, &TargetRegister::number);
    const auto repeated = std::ranges::unique(registers, {}, &TargetRegister::number);
    registers.erase(repeated.begin(), repeated.end());
    return std::move(description_);
  }

private:
  Result<void> take_target(const pugi::xml_node& target, unsigned depth) {
    if (const pugi::xml_node architecture = target.child("architecture")) {
      description_.architecture = trim(architecture.text().get());
    }
    for (const pugi::xml_node& child : target.children()) {
      const std::string_view name = child.name();
      Result<void> taken;
      if (name == "feature") {
        taken = take_feature(child, depth);
      } else if (name == "xi:include") {
        taken = include(child, depth);
      }
      if (!taken) {
        return taken;
      }
    }
    return {};
  }

  Result<void> take_feature(const pugi::xml_node& feature, unsigned depth) {
    for (const pugi::xml_node& child : feature.children()) {
      const std::string_view name = child.name();
      Result<void> taken;
      if (name == "reg") {
        taken = take_register(child);
      } else if (name == "xi:include") {
        taken = include(child, depth);
      }
      if (!taken) {
        return taken;
      }
    }
    return {};
  }

  Result<void> include(const pugi::xml_node& node, unsigned depth) {
    const std::string name = node.attribute("href").as_string();
    if (name.empty() || name.size() > kMaxName || printable(name, kMaxName) != name ||
        name.find_first_of(":#$}*,;") != std::string::npos) {
      return no_description(fmt::format("it includes '{}'", printable(name)));
    }
    if (depth >= kMaxDepth || ++includes_ > kMaxIncludes) {
      return no_description("it includes too many others");
    }
    return fetch_(name).and_then([&](const std::string& text) { return parse(text, depth + 1); });
  }

  Result<void> take_register(const pugi::xml_node& node) {
    const auto bits = parse_u64(node.attribute("bitsize").as_string());
    if (const pugi::xml_attribute number = node.attribute("regnum")) {
      const auto parsed = parse_u64(number.as_string());
      if (!parsed || *parsed > UINT16_MAX) {
        return no_description("a register has no valid number");
      }
      next_number_ = static_cast<std::uint32_t>(*parsed);
    }
    if (!bits || *bits == 0 || *bits > kMaxRegisterBits || *bits % 8 != 0) {
      return no_description("a register has no valid size");
    }
    if (description_.registers.size() >= kMaxTargetRegisters || next_number_ > UINT16_MAX) {
      return no_description("it has too many registers");
    }
    description_.registers.push_back(
        {node.attribute("name").as_string(), next_number_++, static_cast<std::uint32_t>(*bits)});
    return {};
  }

  const FetchDescription& fetch_;
  TargetDescription description_;
  std::uint32_t next_number_ = 0;
  unsigned includes_ = 0;
};

} // namespace

Result<TargetDescription> parse_target_description(std::string_view text, const FetchDescription& fetch) {
  Parser parser{fetch};
  return parser.parse(text, 0).map([&] { return parser.finish(); });
}

std::string_view machine_of(std::string_view architecture) {
  constexpr std::array<std::pair<std::string_view, std::string_view>, 9> kMachines{
      {{"i386:x86-64", "x86_64"},
       {"i386:x64-32", "x86_64"},
       {"i386", "i386"},
       {"i8086", "i386"},
       {"aarch64", "aarch64"},
       {"arm", "arm"},
       {"riscv:rv64", "riscv64"},
       {"riscv:rv32", "riscv32"},
       {"powerpc:common64", "ppc64"}}};
  const auto* const known =
      std::ranges::find(kMachines, architecture, &std::pair<std::string_view, std::string_view>::first);
  return known != kMachines.end() ? known->second : std::string_view{};
}

} // namespace vmemfs::gdbstub
