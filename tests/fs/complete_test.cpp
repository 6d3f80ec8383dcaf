// SPDX-License-Identifier: MIT
#include "drivers/all_drivers.h"
#include "fs/cli/complete.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace vmemfs {
namespace {

using testing::AllOf;
using testing::Contains;
using testing::ElementsAre;
using testing::IsEmpty;
using testing::Not;

std::vector<std::string> offered(std::vector<std::string> words) {
  return complete(
      {std::move(words), {"--vm", "--config", "-o"}, {"--json", "--discover"}, {"--format", "--pause"}});
}

TEST(Complete, SubcommandsAndOptions) {
  EXPECT_THAT(offered({""}), ElementsAre("list", "save", "drivers", "check"));
  EXPECT_THAT(offered({"dr"}), ElementsAre("drivers"));
  EXPECT_THAT(offered({"--"}), ElementsAre("--vm", "--config"));
  EXPECT_THAT(offered({"/mnt", "--v"}), ElementsAre("--vm"));
  EXPECT_THAT(offered({"list", "--"}), ElementsAre("--json", "--discover"));
  EXPECT_THAT(offered({"save", "--"}), ElementsAre("--format", "--pause"));
  EXPECT_THAT(offered({"save", "--format", ""}), ElementsAre("raw", "lime", "elf", "avml", "kdump"));
  EXPECT_THAT(offered({"save", ""}), IsEmpty()) << "file names";
  EXPECT_THAT(offered({"save", "web01", "x"}), IsEmpty());
  EXPECT_THAT(offered({"check", ""}), ElementsAre("--unit"));
  EXPECT_THAT(offered({}), IsEmpty());
}

TEST(Complete, DriversAndTheirParametersAsDeclared) {
  EXPECT_THAT(offered({"drivers", ""}), testing::IsSupersetOf({"qemu", "dump", "fake"}));
  EXPECT_THAT(offered({"--vm", ""}), testing::IsSupersetOf({"qemu:", "dump:", "fake:"}));
  EXPECT_THAT(offered({"--vm", "web01=f"}), ElementsAre("web01=fake:"));
  EXPECT_THAT(offered({"--vm", "web01=dump:"}),
              ElementsAre("web01=dump:path=", "web01=dump:format=", "web01=dump:writable=",
                          "web01=dump:cache_kernel=", "web01=dump:cache_ttl=", "web01=dump:owner=",
                          "web01=dump:group=", "web01=dump:mode="));
  EXPECT_THAT(offered({"-f", "--vm", "qemu:pid=1,n"}), ElementsAre("qemu:pid=1,name="));
  EXPECT_THAT(offered({"--vm", "qemu:pid=1,"}), Not(Contains("qemu:pid=1,pid="))) << "it is given";
  EXPECT_THAT(offered({"--vm", R"(a=dump:path="/x,y=z",fo)"}),
              ElementsAre(R"(a=dump:path="/x,y=z",format=)"));
}

TEST(Complete, DriversWithDiscovery) {
  EXPECT_THAT(offered({"--discover", ""}), AllOf(Contains("qemu"), Not(Contains("fake"))))
      << "nobody finds made-up guests";
  EXPECT_THAT(offered({"list", "--discover", "qe"}), ElementsAre("qemu", "qemu:"));
  EXPECT_THAT(offered({"--discover", "qemu:"}), ElementsAre("qemu:tcp="));
  EXPECT_THAT(offered({"--discover", "nope:"}), IsEmpty());
  if (find_driver(all_drivers(), "libvirt") != nullptr) {
    EXPECT_THAT(offered({"--discover", "li"}), ElementsAre("libvirt", "libvirt:"));
    EXPECT_THAT(offered({"--discover", "libvirt:uri=qemu:///system,"}),
                ElementsAre("libvirt:uri=qemu:///system,memory=", "libvirt:uri=qemu:///system,passthrough=",
                            "libvirt:uri=qemu:///system,host="));
    EXPECT_THAT(offered({"--discover", "libvirt:host=o"}),
                ElementsAre("libvirt:host=on", "libvirt:host=off"));
  }
}

TEST(Complete, ChoicesAndFlags_OfferTheirValues) {
  EXPECT_THAT(offered({"--vm", "x=fake:pattern="}),
              ElementsAre("x=fake:pattern=address", "x=fake:pattern=zero"));
  EXPECT_THAT(offered({"--vm", "qemu:pid=1,keep=o"}),
              ElementsAre("qemu:pid=1,keep=on", "qemu:pid=1,keep=off"));
  EXPECT_THAT(offered({"--vm", "qemu:pid=1,writable=of"}), ElementsAre("qemu:pid=1,writable=off"));
}

TEST(Complete, FileNameExpected_OffersNothing) {
  for (const auto& words : std::vector<std::vector<std::string>>{{"--vm", "qemu:qmp=/run"},
                                                                 {"--config", ""},
                                                                 {"/mn"},
                                                                 {"--vm", "x=nope:"},
                                                                 {"--vm", "qemu:nope="},
                                                                 {"-f", ""}}) {
    EXPECT_THAT(offered(words), IsEmpty()) << words.back();
  }
}

} // namespace
} // namespace vmemfs
