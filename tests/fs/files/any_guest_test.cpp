// SPDX-License-Identifier: MIT
// Files of a guest that is not an attached VM: a page of memory and two registers, as a snapshot would have
// them.
#include "arch/x86_64/registers.h"
#include "fs/files/memory_file.h"
#include "fs/files/registers_file.h"
#include "support/recording_reply.h"

#include <algorithm>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <memory>
#include <string>
#include <unistd.h>
#include <vector>

namespace vmemfs::test {
namespace {

class OnePage final : public AddressSpace {
public:
  OnePage() : bytes_(kPageSize, std::byte{'x'}) {}

  using AddressSpace::read;
  tl::expected<std::size_t, ErrorKind> read(std::span<const GpaRange> ranges, HolePolicy /*policy*/,
                                            ReadScratch& scratch, ReadAhead* /*read_ahead*/) override {
    scratch.clear(nullptr);
    for (const GpaRange& range : ranges) {
      const std::size_t begin = std::min<std::size_t>(range.begin.value(), bytes_.size());
      scratch.add(
          std::span{bytes_}.subspan(begin, std::min<std::size_t>(range.size(), bytes_.size() - begin)));
    }
    return scratch.size();
  }
  Result<std::size_t> write(std::uint64_t /*offset*/, std::span<const std::byte> /*bytes*/) override {
    return fail(ErrorKind::read_only, "snapshot", "it cannot be written");
  }
  std::shared_ptr<const MemoryMap> map() const override { return map_; }
  void poll_layout() override {}
  void begin_view() override { ++views; }
  void end_view() override { --views; }
  void note_kept_page() override {}

  int views = 0;

private:
  std::vector<std::byte> bytes_;
  const std::shared_ptr<const MemoryMap> map_ = std::make_shared<const MemoryMap>(
      *MemoryMap::build({{{Gpa{0}, Gpa{kPageSize}}, RegionKind::ram, false, 0, 0}}, {"page"}));
};

class FrozenGuest final : public Guest {
public:
  const std::string& name() const override { return identity_.name; }
  const VmIdentity& identity() const override { return identity_; }
  VcpuSet vcpus() const override { return VcpuSet::first(1); }
  AccessReport access() const override { return {}; }
  std::vector<ProbeResult> probe() const override { return {}; }
  bool gone() const override { return false; }
  bool frozen() const override { return true; }
  std::chrono::system_clock::time_point last_change() const override { return {}; }
  AddressSpace& memory() override { return page; }
  const RegisterLayout* register_layout() const override { return &x86_64::register_layout(); }
  Result<std::vector<RegisterSet>> read_registers(std::span<const VcpuId> vcpus) override {
    RegisterSet set{x86_64::register_layout()};
    set.set(x86_64::Register::rax, 0x1234);
    return std::vector<RegisterSet>(vcpus.size(), set);
  }
  Result<void> write_registers(VcpuId /*vcpu*/, std::span<const RegisterValue> /*values*/) override {
    return fail(ErrorKind::read_only, "snapshot", "it cannot be written");
  }
  VmCounters& counters() override { return counters_; }

  OnePage page;

private:
  const VmIdentity identity_{.name = "snapshot", .uuid = {}, .driver = "none"};
  VmCounters counters_;
};

TEST(AnyGuest, MemoryFile_ShowsItsMemory) {
  const auto guest = std::make_shared<FrozenGuest>();
  {
    MemoryFile file{guest, HolePolicy::honest};
    EXPECT_EQ(guest->page.views, 1);
    EXPECT_EQ(read_file(file, 4000, 200)->bytes(), std::string(96, 'x'));
    EXPECT_EQ(answer_to([&](Reply& reply) { file.seek(reply, 0, SEEK_HOLE); })->number(), kPageSize);
    EXPECT_EQ(file.write("1", 0).error().kind, ErrorKind::read_only);
  }
  EXPECT_EQ(guest->page.views, 0);
  EXPECT_EQ(guest->counters().read_bytes.load(), 96U);
}

TEST(AnyGuest, RegistersFile_ShowsItsRegisters) {
  const auto guest = std::make_shared<FrozenGuest>();
  RegistersFile file{guest, VcpuId{0}};
  EXPECT_THAT(read_file(file)->bytes(), testing::HasSubstr("1234"));
  EXPECT_EQ(file.write("rax 0x1\n", 0).error().kind, ErrorKind::read_only);
}

} // namespace
} // namespace vmemfs::test
