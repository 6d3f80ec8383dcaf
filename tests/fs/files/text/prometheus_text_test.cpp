// SPDX-License-Identifier: MIT
#include "fs/files/text/prometheus_text.h"
#include "tests/fs/files/text/prometheus_samples.h"

#include <gtest/gtest.h>
#include <limits>

namespace vmemfs::test {
namespace {

TEST(PrometheusText, FamilyAndSamples_HaveTheLinesOfTheFormat) {
  PrometheusText out;
  out.family("vmemfs_reads_total", MetricType::counter, "Reads.");
  out.sample({{"vm", "web01"}, {"driver", "qemu"}}, 3U);
  out.sample({}, 0.25);
  out.single("vmemfs_vms", MetricType::gauge, "VMs.", 2);
  EXPECT_EQ(out.text(), "# HELP vmemfs_reads_total Reads.\n"
                        "# TYPE vmemfs_reads_total counter\n"
                        "vmemfs_reads_total{vm=\"web01\",driver=\"qemu\"} 3\n"
                        "vmemfs_reads_total 0.25\n"
                        "# HELP vmemfs_vms VMs.\n"
                        "# TYPE vmemfs_vms gauge\n"
                        "vmemfs_vms 2\n");
}

TEST(PrometheusText, HostileLabel_ReadsBack) {
  const std::string hostile{"a\n\"b\" \\n{x=\"1\"} 5\n# TYPE c counter\n\x1b,\xff"};
  PrometheusText out;
  out.family("m", MetricType::gauge, "A metric.");
  out.sample({{"vm", hostile}}, 1);
  const PrometheusPage page = parse_prometheus(out.text());
  ASSERT_EQ(page.families.size(), 1U);
  ASSERT_EQ(page.families.front().samples.size(), 1U);
  const std::string replaced = hostile.substr(0, hostile.size() - 1) + "\xef\xbf\xbd"; // U+FFFD
  EXPECT_EQ(page.families.front().samples.front().labels.at("vm"), replaced);
}

TEST(PrometheusText, Numbers_KeepTheirValue) {
  PrometheusText out;
  out.family("m", MetricType::counter, "A metric.");
  out.sample({{"n", "max"}}, std::numeric_limits<std::uint64_t>::max());
  out.sample({{"n", "small"}}, 1e-6);
  out.sample({{"n", "large"}}, 1.5e300);
  EXPECT_NE(out.text().find("m{n=\"max\"} 18446744073709551615\n"), std::string::npos);
  const PrometheusPage page = parse_prometheus(out.text());
  EXPECT_EQ(page.value("m", {{"n", "small"}}), 1e-6);
  EXPECT_EQ(page.value("m", {{"n", "large"}}), 1.5e300);
}

TEST(PrometheusText, Histogram_HasSuffixes) {
  PrometheusText out;
  out.family("d_seconds", MetricType::histogram, "Durations.");
  out.sample({{"le", "+Inf"}}, 2, "_bucket");
  out.sample({}, 0.5, "_sum");
  out.sample({}, 2, "_count");
  const PrometheusPage page = parse_prometheus(out.text());
  EXPECT_EQ(page.families.front().type, "histogram");
  EXPECT_EQ(page.value("d_seconds_bucket", {{"le", "+Inf"}}), 2);
  EXPECT_EQ(page.value("d_seconds_sum"), 0.5);
}

/// The parser of these tests refuses what is not in the format.
TEST(PrometheusSamples, MalformedPage_IsRefused) {
  const std::string head = "# HELP m M.\n# TYPE m gauge\n";
  EXPECT_EQ(parse_prometheus(head + "m 1\n").value("m"), 1);
  for (const std::string_view bad :
       {"m 1", "m\n", "m{a=1} 1\n", "m{a=\"1} 1\n", "m{a=\"\\t\"} 1\n", "m{a=\"1\",a=\"2\"} 1\n",
        "m 1\nm 2\n", "other 1\n", "m 1 2\n", "m nan\n", "m 0x10\n", "# HELP m M.\n", "\n"}) {
    EXPECT_THROW(static_cast<void>(parse_prometheus(head + std::string{bad})), std::runtime_error) << bad;
  }
}

} // namespace
} // namespace vmemfs::test
