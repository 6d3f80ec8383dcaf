// SPDX-License-Identifier: MIT
// Descriptions as libvirt 9.0 prints them, cut down, and what whoever defines a domain could put there.
#include "drivers/libvirt/domain/domain_xml.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <random>

namespace vmemfs::libvirt {
namespace {

using testing::HasSubstr;

constexpr std::uint64_t kMiB = std::uint64_t{1} << 20U;
constexpr std::uint64_t kGiB = std::uint64_t{1} << 30U;

std::string domain(std::string_view machine, std::uint64_t mib, std::string_view more = "") {
  return fmt::format("<domain type='kvm' id='1' xmlns:qemu='http://libvirt.org/schemas/domain/qemu/1.0'>"
                     "<name>x</name><memory unit='KiB'>{}</memory><vcpu current='2'>4</vcpu>"
                     "<os><type arch='x86_64' machine='{}'>hvm</type></os>{}</domain>",
                     mib * 1024, machine, more);
}

Result<MemoryMap> map(std::string_view machine, std::uint64_t mib, std::string_view more = "") {
  return parse_domain_xml(domain(machine, mib, more)).and_then(map_by_description);
}

/// Where 4 GiB are passed: as tried on QEMU 7.2, on both sides of each border.
TEST(DomainXml, MainMemoryIsSplitAsTheMachineDoesIt) {
  const auto ends = [](std::string_view machine, std::uint64_t mib) {
    const auto all = map(machine, mib);
    EXPECT_TRUE(all) << machine << mib;
    return std::pair{all->regions()[1].range.end.value(), all->ram_end().value()};
  };
  EXPECT_EQ(ends("pc-i440fx-7.2", 3583), (std::pair{3583 * kMiB, 3583 * kMiB}));
  EXPECT_EQ(ends("pc-i440fx-7.2", 3584), (std::pair{3 * kGiB, 4 * kGiB + 512 * kMiB}));
  EXPECT_EQ(ends("pc-q35-7.2", 2815), (std::pair{2815 * kMiB, 2815 * kMiB}));
  EXPECT_EQ(ends("pc-q35-7.2", 2816), (std::pair{2 * kGiB, 4 * kGiB + 768 * kMiB}));
}

TEST(DomainXml, WhatIsNotKnownForSureIsAHole) {
  const auto all = map("pc-q35-7.2", 64);
  ASSERT_TRUE(all);
  EXPECT_EQ(all->at(Gpa{0x9ffff}).region->kind, RegionKind::ram);
  EXPECT_EQ(all->at(Gpa{0xa0000}).region, nullptr);
  EXPECT_EQ(all->at(Gpa{0xfffff}).region, nullptr);
  EXPECT_EQ(all->at(Gpa{64 * kMiB}).region, nullptr);
  EXPECT_EQ(all->ram_end(), Gpa{64 * kMiB});
}

TEST(DomainXml, DimmsLieWhereTheDescriptionSays) {
  const auto all = map("pc-q35-7.2", 1024 + 256,
                       "<devices><memory model='dimm'><target><size unit='KiB'>262144</size></target>"
                       "<address type='dimm' slot='0' base='0x100000000'/></memory></devices>");
  ASSERT_TRUE(all);
  EXPECT_EQ(all->at(Gpa{1024 * kMiB}).region, nullptr);
  EXPECT_EQ(all->ram_end(), Gpa{4 * kGiB + 256 * kMiB});
  EXPECT_EQ(all->ram_bytes(), 1280 * kMiB - 0x60000);
}

TEST(DomainXml, NothingIsGuessed) {
  const auto refusal = [](std::string_view machine, std::string_view more) {
    const auto all = map(machine, 512, more);
    EXPECT_FALSE(all);
    return all ? "" : all.error().text;
  };
  EXPECT_THAT(refusal("pc-i440fx-2.0", ""), HasSubstr("pc-i440fx-2.0"));
  EXPECT_THAT(refusal("microvm", ""), HasSubstr("microvm"));
  EXPECT_THAT(refusal("virt-7.2", ""), HasSubstr("virt-7.2"));
  EXPECT_THAT(refusal("pc-q35-7.2", "<devices><memory model='virtio-mem'/></devices>"),
              HasSubstr("virtio-mem"));
  EXPECT_THAT(refusal("pc-q35-7.2", "<qemu:commandline><qemu:arg value='-machine'/></qemu:commandline>"),
              HasSubstr("-machine"));
  EXPECT_TRUE(map("pc-q35-7.2", 512, "<qemu:commandline><qemu:arg value='-qmp'/></qemu:commandline>"));
}

TEST(DomainXml, DistributorsMachinesAreLaidOutAsQemus) {
  for (const char* const machine :
       {"pc-q35-rhel9.4.0", "pc-i440fx-rhel7.6.0", "pc-q35-jammy", "pc-i440fx-noble-hpb"}) {
    EXPECT_TRUE(map(machine, 512)) << machine;
  }
  for (const char* const machine :
       {"pc-i440fx-rhel7.0.0", "pc-i440fx-trusty", "pc-q35-rhel", "pc-q35-jammyish"}) {
    EXPECT_FALSE(map(machine, 512)) << machine;
  }
}

/// The firmware's own memory reads as ones from outside of it.
TEST(DomainXml, WhatTheFirmwareMayKeepIsAHole) {
  const auto all = map("pc-q35-7.2", 512, "<features><smm state='on'/></features>");
  ASSERT_TRUE(all);
  EXPECT_EQ(all->ram_end(), Gpa{496 * kMiB});
  const auto more =
      map("pc-q35-7.2", 4096, "<features><smm state='on'><tseg unit='MiB'>48</tseg></smm></features>");
  ASSERT_TRUE(more);
  EXPECT_EQ(more->at(Gpa{2000 * kMiB}).region, nullptr);
  EXPECT_EQ(more->ram_end(), Gpa{6 * kGiB});
  EXPECT_EQ(map("pc-q35-7.2", 512, "<features><smm state='off'/></features>")->ram_end(), Gpa{512 * kMiB});
  EXPECT_EQ(map("pc-i440fx-7.2", 512, "<features><smm state='on'/></features>")->ram_end(), Gpa{512 * kMiB});
}

TEST(DomainXml, WhatMayBeginAtOneTebibyteIsNotGuessed) {
  const std::string much = "<maxMemory slots='16' unit='KiB'>1073741824</maxMemory>";
  EXPECT_FALSE(map("pc-q35-7.2", 8192, much));
  EXPECT_FALSE(map("pc-q35-7.2", 900 * 1024));
  EXPECT_FALSE(map(
      "pc-q35-7.2", 8192,
      "<devices><controller type='pci'><pcihole64 unit='KiB'>1073741824</pcihole64></controller></devices>"));
  EXPECT_TRUE(map("pc-q35-7.0", 8192, much)) << "those have no such gap";
  EXPECT_TRUE(map("pc-q35-7.2", 512, much)) << "nothing is above 4 GiB";
  EXPECT_TRUE(map("pc-q35-7.2", 8192, "<maxMemory slots='16' unit='KiB'>67108864</maxMemory>"));
}

TEST(DomainXml, MemoryThatReadingWouldAllocateIsToldApart) {
  const auto why = [](std::string_view more) {
    return parse_domain_xml(domain("pc-q35-7.2", 512, more))->reading_allocates;
  };
  EXPECT_EQ(why(""), "");
  EXPECT_EQ(why("<memoryBacking><source type='anonymous'/><locked/></memoryBacking>"), "");
  EXPECT_EQ(why("<memoryBacking><source type='memfd'/></memoryBacking>"), "a memfd");
  EXPECT_EQ(why("<memoryBacking><hugepages/></memoryBacking>"), "huge pages");
  EXPECT_EQ(why("<memoryBacking><access mode='shared'/></memoryBacking>"), "shared memory");
  for (const char* const more :
       {"<devices><memory model='dimm' access='shared'><target><size unit='KiB'>1024</size></target>"
        "<address base='0x100000000'/></memory></devices>",
        "<devices><memory model='nvdimm'/></devices>",
        "<qemu:commandline><qemu:arg value='-mem-path'/></qemu:commandline>"}) {
    EXPECT_NE(why(more), "") << more;
  }
  EXPECT_EQ(why("<cpu><numa><cell id='0' memAccess='shared'/></numa></cpu>"), "shared memory");
}

TEST(DomainXml, VcpusAreThoseThatAreThere) {
  const auto counted = parse_domain_xml(domain("pc", 64));
  EXPECT_EQ(counted->vcpus, VcpuSet::first(2));
  EXPECT_TRUE(counted->vcpus_vary);
  const auto listed = parse_domain_xml(domain("pc", 64,
                                              "<vcpus><vcpu id='0' enabled='yes' hotpluggable='no'/>"
                                              "<vcpu id='1' enabled='no' hotpluggable='yes'/>"
                                              "<vcpu id='3' enabled='yes' hotpluggable='yes'/></vcpus>"));
  EXPECT_EQ(to_string(listed->vcpus), "0,3");
  EXPECT_TRUE(listed->vcpus_vary);
  for (const char* const id : {"", "x", "-1", "8192", "99999999999999999999"}) {
    EXPECT_FALSE(
        parse_domain_xml(domain("pc", 64, fmt::format("<vcpus><vcpu id='{}' enabled='yes'/></vcpus>", id))))
        << id;
  }
}

TEST(DomainXml, NonsenseIsAnErrorAndNoHarm) {
  for (const std::string& text :
       {std::string{}, std::string{"<domain"}, std::string{"<domain/>"}, std::string{"\0\xff", 2},
        domain("pc", 0), std::string{"<domain><memory unit='TiB'>1</memory></domain>"},
        std::string{"<domain><memory>99999999999999999999</memory></domain>"},
        std::string{"<domain><memory>-1</memory></domain>"}, std::string(17 << 20, ' ')}) {
    EXPECT_FALSE(parse_domain_xml(text)) << text.substr(0, 60);
  }
  // Entities of their own are not expanded, so none can grow.
  const auto bomb =
      parse_domain_xml("<!DOCTYPE d [<!ENTITY a 'aaaa'><!ENTITY b '&a;&a;'>]>" + domain("pc&b;", 64));
  EXPECT_TRUE(!bomb || bomb->machine.size() < 20);
  std::mt19937 random{1};
  const std::string good =
      domain("pc-q35-7.2", 4096,
             "<devices><memory model='dimm'><target><size unit='KiB'>1024</size></target>"
             "<address base='0x200000000'/></memory></devices>");
  for (int i = 0; i < 3000; ++i) {
    std::string bad = good;
    for (int changes = 0; changes < 4; ++changes) {
      bad[random() % bad.size()] = static_cast<char>(random());
    }
    static_cast<void>(parse_domain_xml(bad).and_then(map_by_description));
  }
}

} // namespace
} // namespace vmemfs::libvirt
