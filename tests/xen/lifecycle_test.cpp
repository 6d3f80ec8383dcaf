// SPDX-License-Identifier: MIT
// Domains that come and go, and daemons that do.
#include "support/child_process.h"
#include "support/files.h"
#include "support/mount.h"
#include "util/unique_fd.h"
#include "xen/guests/layout.h"
#include "xen/lab_domain.h"

#include <atomic>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <fcntl.h>
#include <gtest/gtest.h>
#include <map>
#include <random>
#include <thread>

namespace vmemfs::test {
namespace {

constexpr std::uint64_t kPage = 4096;

UniqueFd open_file(const std::string& path) { return UniqueFd{::open(path.c_str(), O_RDONLY | O_CLOEXEC)}; }

std::vector<std::string> vm_option(const LabDomain& domain) {
  return {"--vm", domain.name() + "=xen:domain=" + std::to_string(domain.id())};
}

class XenKind : public testing::TestWithParam<GuestKind> {
protected:
  void TearDown() override { keep_domain(std::move(domain_)); }
  [[nodiscard]] LabDomain& domain() { return *domain_; }

private:
  std::unique_ptr<LabDomain> domain_ = take_domain(GetParam());
};

TEST_P(XenKind, AfterTheDaemonIsKilledItRunsAgainByOneCount) {
  Mount mount{vm_option(domain())};
  ASSERT_EQ(try_write(mount / domain().name() + "/control", "pause\n"), 0);
  ASSERT_TRUE(domain().paused());
  const std::uint64_t paused_count = domain().status(XG_OFF_COUNTER);
  domain().pause(); // somebody else's, which must stay
  mount.kill_daemon();
  ::usleep(1'000'000);
  EXPECT_TRUE(domain().paused());
  domain().unpause();
  EXPECT_TRUE(eventually([&] { return !domain().paused(); }));
  EXPECT_TRUE(eventually([&] { return domain().status(XG_OFF_COUNTER) > paused_count; }));
}

TEST_P(XenKind, WhatWasPausedRunsAgainWhenTheDaemonEnds) {
  {
    const Mount mount{vm_option(domain())};
    ASSERT_EQ(try_write(mount / domain().name() + "/control", "pause\n"), 0);
    ASSERT_TRUE(domain().paused());
  }
  EXPECT_TRUE(eventually([&] { return !domain().paused(); }));
}

TEST_P(XenKind, DestroyedUnderReadersItIsGoneForAll) {
  const Mount mount{vm_option(domain())};
  std::atomic<bool> ended{false};
  std::atomic<int> wrong{0};
  {
    std::vector<std::jthread> readers;
    for (const char* const name : {"/mem", "/mem_padded", "/mem"}) {
      readers.emplace_back([&, name] {
        const UniqueFd fd = open_file(mount / domain().name() + name);
        for (std::uint64_t at = XG_PATTERN;; at = at + kPage < XG_PATTERN_END ? at + kPage : XG_PATTERN) {
          const auto read = pread_at(fd.get(), at, kPage);
          if (read.error == ENODEV) {
            ended = true;
            return;
          }
          std::uint64_t word = 0;
          if (read.bytes.size() == kPage) {
            std::memcpy(&word, read.bytes.data(), sizeof(word));
          }
          wrong += word == tg_pattern(at) ? 0 : 1; // never zeros, never an error of another kind
        }
      });
    }
    ::usleep(300'000);
    domain().destroy();
  }
  EXPECT_TRUE(ended);
  EXPECT_EQ(wrong, 0);
  EXPECT_TRUE(eventually([&] { return count_zombies() == 0; }, std::chrono::seconds{10}));
  EXPECT_TRUE(eventually([&] { return !exists(mount / domain().name()); }));
}

std::string kind_name(const testing::TestParamInfo<GuestKind>& info) { return to_string(info.param); }
INSTANTIATE_TEST_SUITE_P(Lab, XenKind, testing::Values(GuestKind::pv, GuestKind::pvh, GuestKind::hvm),
                         kind_name);

/// Neither has run yet, so there is nothing of the guest's to go by.
TEST(XenNotYetRun, APvDomainIsReadByTheHypervisorsTable) {
  const LabDomain domain{GuestKind::pv, {.name = {}, .settings = {}, .run = false}};
  const Mount mount{vm_option(domain)};
  const std::string info = read_file(mount / domain.name() + "/info");
  EXPECT_NE(info.find("hypervisor's table"), std::string::npos) << info;
  EXPECT_NE(info.find("\"state\": \"paused\""), std::string::npos) << info;
  // The kernel as the builder laid it down: code of the file at its place.
  const std::string elf = read_file("/lab/pv.elf");
  const auto read = pread_at(open_file(mount / domain.name() + "/mem").get(), 0x100000, 256);
  ASSERT_EQ(read.bytes.size(), 256U);
  EXPECT_EQ(std::memcmp(read.bytes.data(), elf.data() + 0x1000, 256), 0);
}

/// Half of its memory is populated on demand, and it has no balloon yet: were it all touched, it would crash.
TEST(XenOnDemand, ReadingLeavesTheGuestItsPages) {
  const LabDomain domain{GuestKind::hvm, {.name = {}, .settings = {"memory=64", "maxmem=128"}, .run = false}};
  const std::uint64_t pages = domain.pages();
  ASSERT_GT(domain.pages_in_stock(), 1024U);
  const Mount mount{vm_option(domain)};
  const std::string maps = read_file(mount / domain.name() + "/maps");
  EXPECT_NE(maps.find("-0000000008000000 rw- ram"), std::string::npos) << maps; // all that it may have
  const UniqueFd padded = open_file(mount / domain.name() + "/mem_padded");
  for (std::uint64_t at = 0; at < (128U << 20U); at += 1U << 20U) {
    EXPECT_EQ(pread_at(padded.get(), at, 1U << 20U).error, 0) << at;
  }
  EXPECT_LE(domain.pages(), pages);
  EXPECT_GT(domain.pages_in_stock(), 0U);
  EXPECT_FALSE(domain.crashed());
  EXPECT_NE(read_file(mount / domain.name() + "/info").find("populated on demand"), std::string::npos);
}

/// What a command of the mount's control file says where it fails; empty where it does not.
std::string refusal(const std::string& control, const std::string& command) {
  const UniqueFd fd{::open(control.c_str(), O_RDWR | O_CLOEXEC)};
  if (::write(fd.get(), command.data(), command.size()) == static_cast<ssize_t>(command.size())) {
    return "";
  }
  std::string text(1024, '\0');
  const ssize_t size = ::read(fd.get(), text.data(), text.size());
  text.resize(size > 0 ? static_cast<std::size_t>(size) : 0);
  return "refused: " + text;
}

TEST(XenFind, ByNameNumberAndUuidAndWithAClearWordWhereThereIsNone) {
  auto domain = take_domain(GuestKind::pvh);
  const std::string number = std::to_string(domain->id());
  const std::string path = run({"xenstore-read", "/local/domain/" + number + "/vm"}).text; // "/vm/UUID"
  ASSERT_EQ(path.substr(0, 4), "/vm/");
  const Mount mount{{"--vm", "other=fake:size=1M"}};
  const std::string control = mount / ".vmemfs/control";
  for (const std::string& by : {domain->name(), number, path.substr(4, 36)}) {
    EXPECT_EQ(refusal(control, "attach found=xen:domain=" + by + "\n"), "");
    const auto word = pread_at(open_file(mount / "found/mem").get(), XG_STATUS, 8);
    EXPECT_EQ(std::string(reinterpret_cast<const char*>(word.bytes.data()), word.bytes.size()), "XLBREADY")
        << by;
    EXPECT_EQ(refusal(control, "detach found\n"), "");
  }
  const std::string nobody = refusal(control, "attach found=xen:domain=nobody\n");
  EXPECT_NE(nobody.find("no domain 'nobody'"), std::string::npos) << nobody;
  EXPECT_NE(nobody.find(domain->name()), std::string::npos) << nobody; // those that there are
  const std::string self = refusal(control, "attach found=xen:domain=0\n");
  EXPECT_NE(self.find("domain 0 is the system"), std::string::npos) << self;
  keep_domain(std::move(domain));
}

/// Domains are made and destroyed at random while everything there is is read.
TEST(XenChurn, DomainsComeAndGoUnderReaders) {
  const char* const setting = std::getenv("VMEMFS_CHURN_SECONDS");
  const auto until =
      std::chrono::steady_clock::now() + std::chrono::seconds{setting != nullptr ? std::atoi(setting) : 60};
  std::mt19937 random{20};
  int made = 0;
  {
    const Mount mount{{}, Discover::on};
    std::jthread reader{[&](const std::stop_token& stop) {
      while (!stop.stop_requested()) {
        static_cast<void>(run({"sh", "-c",
                               "cd '" + mount.path() +
                                   "' && cat */info */maps */vcpus/0/regs && "
                                   "for f in */mem_padded; do head -c 3000000 $f; done"}));
      }
    }};
    std::vector<std::unique_ptr<LabDomain>> domains;
    while (std::chrono::steady_clock::now() < until) {
      if (domains.size() < 3 && (domains.empty() || random() % 2 == 0)) {
        const std::array<GuestKind, 3> kinds{GuestKind::pv, GuestKind::pvh, GuestKind::hvm};
        domains.push_back(std::make_unique<LabDomain>(
            kinds.at(random() % 3), LabOptions{.name = {}, .settings = {}, .run = random() % 3 != 0}));
        ++made;
        if (random() % 2 == 0) {
          EXPECT_TRUE(eventually([&] { return exists(mount / domains.back()->name()); })) << mount.log();
        }
      } else {
        domains.erase(domains.begin() + static_cast<std::ptrdiff_t>(random() % domains.size()));
      }
    }
    domains.clear();
    EXPECT_TRUE(eventually([&] { return count_zombies() == 0; }, std::chrono::seconds{10}));
  }
  EXPECT_GT(made, 2);
  EXPECT_EQ(count_zombies(), 0U);
}

} // namespace
} // namespace vmemfs::test
