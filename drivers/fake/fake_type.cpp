// SPDX-License-Identifier: MIT
#include "drivers/fake/fake_type.h"

#include "core/text.h"
#include "driver/decorators/delay_driver.h"
#include "drivers/fake/fake_driver.h"

#include <chrono>
#include <fmt/format.h>

namespace vmemfs {
namespace {

constexpr std::uint64_t kMaxVcpus = 4096;

const std::vector<ParamSpec>& specs() {
  static const std::vector<ParamSpec> kSpecs{
      {"size", ParamType::size, false, "64M", "bytes of guest physical memory", "1G", {}, {1, kGpaLimit - 1}},
      {"vcpus", ParamType::number, false, "1", "number of vCPUs", "4", {}, {0, kMaxVcpus}},
      {"holes", ParamType::text, false, "", "ranges without memory, joined by +",
       "0xa0000-0xc0000+0x1000000-0x2000000"},
      {"roms", ParamType::text, false, "", "ranges of ROM, joined by +", "0xf0000-0x100000"},
      {"bad", ParamType::text, false, "", "ranges that the guest's host refuses to read, joined by +",
       "0x5000-0x6000"},
      {"delay", ParamType::duration, false, "0ms", "how long every batch read takes, as if from far away",
       "1ms"},
      {"pattern", ParamType::choice, false, "address", "what the memory holds", "zero", {"address", "zero"}},
  };
  return kSpecs;
}

/// "0x1000-0x2000+0x8000-0x9000"
Result<std::vector<GpaRange>> parse_ranges(std::string_view name, std::string_view text) {
  std::vector<GpaRange> ranges;
  for (const std::string_view range : split(text, '+')) {
    const auto borders = split(range, '-');
    const auto begin = borders.size() == 2 ? parse_u64(borders[0]) : std::nullopt;
    const auto end = borders.size() == 2 ? parse_u64(borders[1]) : std::nullopt;
    if (!begin || !end || *begin >= *end) {
      return fail(
          ErrorKind::invalid, "fake",
          fmt::format("{}: '{}' is not a range; write START-END, END exclusive, such as 0x1000-0x2000", name,
                      printable(range)));
    }
    ranges.push_back({Gpa{*begin}, Gpa{*end}});
  }
  return ranges;
}

class FakeType : public DriverType {
public:
  std::string_view name() const override { return "fake"; }
  std::string_view summary() const override {
    return "a guest made of patterns, for tests and for trying things out";
  }
  std::span<const ParamSpec> params() const override { return specs(); }
  std::string_view example() const override { return "fake:size=128M,holes=0xa0000-0xc0000,vcpus=2"; }

  Result<std::unique_ptr<Driver>> open(const Params& params,
                                       const DriverContext& /*context*/) const override {
    FakeOptions options;
    options.size = params.number("size");
    options.vcpus = static_cast<std::uint32_t>(params.number("vcpus"));
    options.pattern = params.text("pattern") == "zero" ? FakePattern::zero : FakePattern::address;
    for (const auto& [key, target] : {std::pair{"holes", &options.holes}, std::pair{"roms", &options.roms},
                                      std::pair{"bad", &options.bad}}) {
      auto ranges = parse_ranges(key, params.text(key));
      if (!ranges) {
        return tl::unexpected{ranges.error()};
      }
      *target = std::move(*ranges);
    }
    auto driver = FakeDriver::create(std::move(options));
    if (!driver) {
      return tl::unexpected{driver.error()};
    }
    const std::chrono::milliseconds delay = params.duration("delay");
    if (delay.count() == 0) {
      return driver;
    }
    return std::make_unique<DelayDriver>(std::move(*driver), delay);
  }
};

} // namespace

const DriverType& fake_driver_type() {
  static const FakeType kType;
  return kType;
}

} // namespace vmemfs
