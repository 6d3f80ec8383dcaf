// SPDX-License-Identifier: MIT
#include "tests/fs/files/text/prometheus_samples.h"

#include <algorithm>
#include <limits>
#include <set>
#include <stdexcept>
#include <utility>

namespace vmemfs::test {
namespace {

constexpr std::string_view kLetters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ_";
constexpr std::string_view kDigits = "0123456789";

/// Parses one line from its start.
class Line {
public:
  explicit Line(std::string_view line) : line_{line}, rest_{line} {}

  [[noreturn]] void fail(const std::string& what) const {
    throw std::runtime_error{what + " in the line: " + std::string{line_}};
  }
  bool take(std::string_view text) {
    if (!rest_.starts_with(text)) {
      return false;
    }
    rest_.remove_prefix(text.size());
    return true;
  }
  void expect(std::string_view text) {
    if (!take(text)) {
      fail("'" + std::string{text} + "' is missing");
    }
  }
  std::string name(bool colons) {
    const std::string first = std::string{kLetters} + (colons ? ":" : "");
    if (rest_.empty() || first.find(rest_.front()) == std::string::npos) {
      fail("a name is missing");
    }
    const std::size_t end = std::min(rest_.find_first_not_of(first + std::string{kDigits}), rest_.size());
    std::string taken{rest_.substr(0, end)};
    rest_.remove_prefix(end);
    return taken;
  }
  /// Up to the closing quote, with the three escapes.
  std::string quoted() {
    expect("\"");
    std::string text;
    while (!take("\"")) {
      if (take("\\\\")) {
        text += '\\';
      } else if (take("\\\"")) {
        text += '"';
      } else if (take("\\n")) {
        text += '\n';
      } else if (rest_.empty() || rest_.front() == '\\') {
        fail("a bad escape or an open quote");
      } else {
        text += rest_.front();
        rest_.remove_prefix(1);
      }
    }
    return text;
  }
  double number() {
    if (take("+Inf")) {
      return std::numeric_limits<double>::infinity();
    }
    std::size_t used = 0;
    const std::string text{rest_};
    double value = 0;
    try {
      value = std::stod(text, &used);
    } catch (const std::exception&) {
      fail("a number is missing");
    }
    if (text.find_first_not_of("0123456789.e+-") < used) {
      fail("not a plain number");
    }
    rest_.remove_prefix(used);
    return value;
  }
  std::string rest() { return std::string{std::exchange(rest_, {})}; }
  void end() const {
    if (!rest_.empty()) {
      fail("'" + std::string{rest_} + "' is too much");
    }
  }

private:
  std::string_view line_;
  std::string_view rest_;
};

PrometheusSample sample(Line& line) {
  PrometheusSample parsed{line.name(true), {}, 0};
  if (line.take("{")) {
    do {
      std::string label = line.name(false);
      line.expect("=");
      if (!parsed.labels.emplace(std::move(label), line.quoted()).second) {
        line.fail("a label comes twice");
      }
    } while (line.take(","));
    line.expect("}");
  }
  line.expect(" ");
  parsed.value = line.number();
  line.end();
  return parsed;
}

bool belongs(const PrometheusSample& sample, const PrometheusFamily& family) {
  if (family.type != "histogram") {
    return sample.name == family.name;
  }
  return sample.name == family.name + "_bucket" || sample.name == family.name + "_sum" ||
         sample.name == family.name + "_count";
}

class Page {
public:
  void take(std::string_view text) {
    Line line{text};
    if (line.take("# HELP ")) {
      PrometheusFamily family{line.name(true), {}, {}, {}};
      line.expect(" ");
      family.help = line.rest();
      if (!names_.insert(family.name).second) {
        line.fail("a family comes twice");
      }
      page_.families.push_back(std::move(family));
    } else if (line.take("# TYPE ")) {
      const std::string name = line.name(true);
      if (page_.families.empty() || page_.families.back().name != name ||
          !page_.families.back().type.empty()) {
        line.fail("a TYPE without its HELP");
      }
      line.expect(" ");
      page_.families.back().type = line.rest();
      if (!std::set<std::string>{"counter", "gauge", "histogram"}.contains(page_.families.back().type)) {
        line.fail("an unknown type");
      }
    } else {
      PrometheusSample parsed = sample(line);
      if (page_.families.empty() || !belongs(parsed, page_.families.back())) {
        line.fail("a sample outside of its family");
      }
      if (!series_.insert({parsed.name, parsed.labels}).second) {
        line.fail("a sample comes twice");
      }
      page_.families.back().samples.push_back(std::move(parsed));
    }
  }
  PrometheusPage page() { return std::move(page_); }

private:
  PrometheusPage page_;
  std::set<std::string> names_;
  std::set<std::pair<std::string, std::map<std::string, std::string>>> series_;
};

} // namespace

const PrometheusFamily* PrometheusPage::family(std::string_view name) const {
  const auto found = std::ranges::find(families, name, &PrometheusFamily::name);
  return found != families.end() ? &*found : nullptr;
}

std::optional<double> PrometheusPage::value(std::string_view name,
                                            const std::map<std::string, std::string>& labels) const {
  for (const PrometheusFamily& family : families) {
    for (const PrometheusSample& sample : family.samples) {
      if (sample.name == name && sample.labels == labels) {
        return sample.value;
      }
    }
  }
  return std::nullopt;
}

PrometheusPage parse_prometheus(std::string_view text) {
  Page page;
  while (!text.empty()) {
    const std::size_t end = text.find('\n');
    if (end == std::string_view::npos) {
      throw std::runtime_error{"the last line has no end"};
    }
    page.take(text.substr(0, end));
    text.remove_prefix(end + 1);
  }
  return page.page();
}

} // namespace vmemfs::test
