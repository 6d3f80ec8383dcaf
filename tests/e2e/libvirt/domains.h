// SPDX-License-Identifier: MIT
// Helpers for tests of libvirt's domains, seen through a mount.
#pragma once

#include "support/libvirt_host.h"
#include "support/mount.h"
#include "util/unique_fd.h"

#include <algorithm>
#include <array>
#include <chrono>
#include <cstdint>
#include <cstring>
#include <fcntl.h>
#include <fmt/format.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>
#include <string>
#include <utility>
#include <vector>

namespace vmemfs::test {

using nlohmann::json;

constexpr std::uint64_t kMiB = std::uint64_t{1} << 20U;

class Libvirt : public testing::Test {
protected:
  void SetUp() override {
    if (const std::string why = why_no_libvirt(); !why.empty()) {
      GTEST_SKIP() << why;
    }
  }
};

inline json info(const Mount& mount, const std::string& vm) {
  return json::parse(read_file(mount / (vm + "/info")));
}

inline std::string control(const Mount& mount, const std::string& vm) {
  return read_file(mount / (vm + "/control"));
}

/// The value of a key in the status.
inline std::string status(const Mount& mount, const std::string& vm, const std::string& key) {
  const std::string text = "\n" + control(mount, vm);
  const std::size_t at = text.find("\n" + key + " ");
  return at == std::string::npos
             ? ""
             : text.substr(at + key.size() + 2, text.find('\n', at + 1) - at - key.size() - 2);
}

/// The option that mounts this domain.
inline std::string domain(const std::string& uri, const std::string& name, const std::string& more = "") {
  return fmt::format("{}=libvirt:uri={},domain={}{}", name, uri, name, more);
}

/// The options with which all domains of these hosts are found, and nothing else of this machine.
inline std::vector<std::string> discover(const std::vector<std::string>& uris, const std::string& more = "") {
  std::vector<std::string> args;
  for (const std::string& uri : uris) {
    args.insert(args.end(), {"--discover", fmt::format("libvirt:uri={}{}", uri, more)});
  }
  return args;
}

inline UniqueFd open_mem(const Mount& mount, const std::string& vm, const std::string& file = "mem") {
  return UniqueFd{::open((mount / (vm + "/" + file)).c_str(), O_RDONLY | O_CLOEXEC)};
}

/// Reads `.vmemfs/events` from here on until something with these words comes.
class Events {
public:
  explicit Events(const Mount& mount)
      : file_{::open((mount / ".vmemfs/events").c_str(), O_RDONLY | O_CLOEXEC)} {
    ::lseek(file_.get(), 0, SEEK_END);
  }
  [[nodiscard]] bool wait_for(const std::string& part,
                              std::chrono::milliseconds limit = std::chrono::seconds{10}) {
    return eventually(
        [&] {
          std::array<char, 4096> buffer{};
          const ssize_t got = ::read(file_.get(), buffer.data(), buffer.size());
          text_.append(buffer.data(), static_cast<std::size_t>(std::max<ssize_t>(got, 0)));
          return text_.find(part) != std::string::npos;
        },
        limit);
  }
  [[nodiscard]] const std::string& text() const { return text_; }

private:
  UniqueFd file_;
  std::string text_;
};

/// Compares all of the tiny guest's memory that is no device's and no firmware's with what QEMU itself
/// writes. The domain has to be paused, and its monitor the test's.
inline void expect_qemus_bytes(const LibvirtHost& host, const Mount& mount, const std::string& name,
                               const std::string& vm) {
  TestMonitor monitor = host.monitor(name);
  monitor.execute("pmemsave", {{"val", 0}, {"size", 64 * kMiB}, {"filename", host.dir() / "saved"}});
  const std::string truth = read_file(host.dir() / "saved");
  const UniqueFd mem = open_mem(mount, vm);
  for (const auto& [begin, end] : {std::pair<std::uint64_t, std::uint64_t>{0, 0xa0000}, {kMiB, 64 * kMiB}}) {
    for (std::uint64_t at = begin; at < end; at += 0x20000) {
      const auto read = pread_at(mem.get(), at, 0x20000);
      ASSERT_EQ(read.bytes.size(), 0x20000U) << std::hex << at;
      EXPECT_EQ(std::memcmp(read.bytes.data(), truth.data() + at, read.bytes.size()), 0) << std::hex << at;
    }
  }
}

} // namespace vmemfs::test
