// SPDX-License-Identifier: MIT
#include "core/text.h"
#include "drivers/fake/fake_driver.h"
#include "fs/files/text/vm_list_text.h"
#include "tests/fs/files/changed_driver.h"
#include "tests/vm/registry_fixture.h"

#include <algorithm>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

namespace vmemfs::test {
namespace {

using Json = nlohmann::ordered_json;

const std::string kUuid = "6f1c9a52-3a5e-4c8e-9d55-0c0f5a1b2c3d";

const ListedVm kAttached{.directory = "web01",
                         .name = "web01",
                         .uuid = kUuid,
                         .driver = "qemu",
                         .number = "4711",
                         .params = "pid=4711",
                         .release = "6.1.0-\n",
                         .reason = ""};
const ListedVm kRefused{.directory = "",
                        .name = kHostileName,
                        .uuid = "",
                        .driver = "xen",
                        .number = "",
                        .params = "",
                        .release = "",
                        .reason = "no rights\nrun as root"};

TEST(VmListText, NoVm_SaysWhatToDo) {
  EXPECT_EQ(vm_list_text({}), "no VM was found ('vmemfs check' tells what can be seen from here)\n");
  EXPECT_EQ(Json::parse(vm_list_json({})), Json::array());
}

TEST(VmListText, Table_HasARowPerVmAndAReasonBelow) {
  const std::string name = "web\\x0a\\x1b[2J\"01\"\\x5c\\x09\\xff\\xc3(";
  const std::string blanks(name.size() - 5, ' ');
  EXPECT_EQ(vm_list_text({kAttached, kRefused}),
            "NAME " + blanks +
                "  DRIVER    NUMBER    UUID                                  ATTACHABLE  RELEASE\n" +
                "web01" + blanks + "  qemu      4711      " + kUuid + "  yes         6.1.0-\\x0a\n" + //
                name + "  xen       -         -                                     no          -\n" +
                "    no rights\\x0arun as root\n");
}

TEST(VmListText, LongReason_IsCut) {
  ListedVm vm = kRefused;
  vm.reason = std::string(3000, 'x');
  const std::string text = vm_list_text({vm});
  EXPECT_NE(text.find(std::string(2000, 'x') + "...\n"), std::string::npos);
  EXPECT_EQ(std::ranges::count(text, '\n'), 3);
}

TEST(VmListText, Json_HasEveryField) {
  const Json list = Json::parse(vm_list_json({kAttached, kRefused}));
  EXPECT_EQ(list, (Json{{{"name", "web01"},
                         {"directory", "web01"},
                         {"uuid", kUuid},
                         {"driver", "qemu"},
                         {"number", "4711"},
                         {"params", "pid=4711"},
                         {"release", "6.1.0-\n"},
                         {"attachable", true},
                         {"reason", nullptr}},
                        {{"name", "web\n\x1b[2J\"01\"\\\t\xef\xbf\xbd\xef\xbf\xbd("},
                         {"directory", nullptr},
                         {"uuid", nullptr},
                         {"driver", "xen"},
                         {"number", ""},
                         {"params", ""},
                         {"release", nullptr},
                         {"attachable", false},
                         {"reason", "no rights\nrun as root"}}}));
}

using ListedVmsTest = RegistryTest;

TEST_F(ListedVmsTest, VmThatTwoDriversFound_IsListedOnceAsItIsAttached) {
  ASSERT_TRUE(vms_.add(
      "dir",
      FakeDriver::create({.name = "its own", .key = "pid 1", .holes = {}, .roms = {}, .bad = {}}).value()));
  const auto listed = listed_vms({{"libvirt", {"pid 1", "domain", "", "3", "domain=domain"}, ""},
                                  {"qemu", {"pid 1", "process", "", "1", "pid=1"}, "busy"},
                                  {"qemu", {"pid 2", "other", kUuid, "2", "pid=2"}, "no rights"},
                                  {"qemu", {"pid 3", "", "", "3", "pid=3"}, ""}},
                                 vms_);
  ASSERT_EQ(listed.size(), 3U);
  EXPECT_EQ(listed[0].directory, "dir");
  EXPECT_EQ(listed[0].name, "its own");
  EXPECT_EQ(listed[0].driver, "fake");
  EXPECT_EQ(listed[0].number, "3");
  EXPECT_EQ(listed[0].reason, "");
  EXPECT_EQ(listed[1].directory, "");
  EXPECT_EQ(listed[1].name, "other");
  EXPECT_EQ(listed[1].uuid, kUuid);
  EXPECT_EQ(listed[1].reason, "no rights");
  EXPECT_EQ(listed[2].reason, "it does not answer, or has just ended; try again");
}

TEST_F(ListedVmsTest, VmThatEnded_IsNotAttachable) {
  auto driver = FakeDriver::create({.key = "pid 1", .holes = {}, .roms = {}, .bad = {}}).value();
  FakeDriver& fake = *driver;
  ASSERT_TRUE(vms_.add("dir", std::move(driver)));
  fake.die();
  const auto listed = listed_vms({{"qemu", {"pid 1", "web01", "", "1", "pid=1"}, ""}}, vms_);
  ASSERT_EQ(listed.size(), 1U);
  EXPECT_EQ(listed[0].directory, "");
  EXPECT_NE(listed[0].reason, "");
}

} // namespace
} // namespace vmemfs::test
