// SPDX-License-Identifier: MIT
#include "fs/files/text/prometheus_text.h"

#include "fs/files/text/event_text.h"

namespace vmemfs {
namespace {

/// The format has three escapes; all other text is plain UTF-8.
std::string escaped(std::string_view value) {
  std::string text;
  for (const char c : valid_utf8(value)) {
    switch (c) {
    case '\\': text += "\\\\"; break;
    case '"': text += "\\\""; break;
    case '\n': text += "\\n"; break;
    default: text += c;
    }
  }
  return text;
}

std::string_view type_name(MetricType type) {
  switch (type) {
  case MetricType::counter: return "counter";
  case MetricType::gauge: return "gauge";
  case MetricType::histogram: return "histogram";
  }
  return "untyped";
}

} // namespace

void PrometheusText::family(std::string_view name, MetricType type, std::string_view help) {
  family_ = name;
  text_ += fmt::format("# HELP {} {}\n# TYPE {} {}\n", name, help, name, type_name(type));
}

std::string PrometheusText::labels_text(const MetricLabels& labels) {
  std::string text;
  for (const auto& [name, value] : labels) {
    text += fmt::format("{}{}=\"{}\"", text.empty() ? "{" : ",", name, escaped(value));
  }
  return text.empty() ? text : text + '}';
}

} // namespace vmemfs
