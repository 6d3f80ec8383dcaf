// SPDX-License-Identifier: MIT
// A strict parser of Prometheus' text format, by its description alone:
// prometheus.io/docs/instrumenting/exposition_formats.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace vmemfs::test {

struct PrometheusSample {
  std::string name;
  std::map<std::string, std::string> labels;
  double value;
};

struct PrometheusFamily {
  std::string name;
  std::string help;
  std::string type;
  std::vector<PrometheusSample> samples;
};

struct PrometheusPage {
  std::vector<PrometheusFamily> families;

  /// Null if there is none.
  [[nodiscard]] const PrometheusFamily* family(std::string_view name) const;
  /// The value of the only sample of this name and these labels; nullopt if there is none.
  [[nodiscard]] std::optional<double> value(std::string_view name,
                                            const std::map<std::string, std::string>& labels = {}) const;
};

/// Throws std::runtime_error with the line if one is not in the format, a family comes twice, a sample
/// belongs to another family than the one before it, or two samples have the same name and labels.
[[nodiscard]] PrometheusPage parse_prometheus(std::string_view text);

} // namespace vmemfs::test
