// SPDX-License-Identifier: MIT
// The Prometheus text exposition format, for `.vmemfs/stats`.
#pragma once

#include <concepts>
#include <cstdint>
#include <fmt/format.h>
#include <string>
#include <string_view>
#include <vector>

namespace vmemfs {

enum class MetricType : unsigned char { counter, gauge, histogram };

struct MetricLabel {
  std::string_view name;
  std::string value; ///< any text; escaped when it is written
};
using MetricLabels = std::vector<MetricLabel>;

/// Built from top to bottom: a family, its samples, the next family. Not thread-safe.
class PrometheusText {
public:
  /// `help` is one line.
  void family(std::string_view name, MetricType type, std::string_view help);

  /// One line of the last family; `suffix`: such as "_bucket" of a histogram.
  template <typename Number>
    requires std::integral<Number> || std::floating_point<Number>
  void sample(const MetricLabels& labels, Number value, std::string_view suffix = {}) {
    text_ += fmt::format("{}{}{} {}\n", family_, suffix, labels_text(labels), value);
  }

  /// A family with one sample and no labels.
  template <typename Number>
  void single(std::string_view name, MetricType type, std::string_view help, Number value) {
    family(name, type, help);
    sample({}, value);
  }

  [[nodiscard]] const std::string& text() const { return text_; }

private:
  [[nodiscard]] static std::string labels_text(const MetricLabels& labels);

  std::string family_;
  std::string text_;
};

} // namespace vmemfs
