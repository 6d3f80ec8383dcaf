// SPDX-License-Identifier: MIT
// Flat view of real QEMU guests (TCG, firmware only), compared with QEMU's own monitor.
#include "core/text.h"
#include "drivers/qemu/flat_view/flat_view.h"
#include "host/host_memory.h"
#include "support/qemu_guest.h"

#include <algorithm>
#include <array>
#include <chrono>
#include <csignal>
#include <filesystem>
#include <fmt/format.h>
#include <gtest/gtest.h>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <unistd.h>
#include <utility>
#include <vector>

namespace vmemfs::qemu {
namespace {

using namespace std::chrono_literals;

using test::GuestOptions;
using test::QemuGuest;

/// A guest with firmware alone, paused until it is resumed.
QemuGuest start(const std::string& machine, const std::string& memory, std::vector<std::string> extra = {}) {
  GuestOptions options;
  options.machine = machine;
  options.memory = memory;
  options.extra = std::move(extra);
  options.extra.emplace_back("-S");
  options.kernel = false;
  options.monitor_for_driver = false;
  return QemuGuest{options};
}

std::shared_ptr<const ProcessSpace> space_of(pid_t pid) {
  return ProcessSpace::open(std::make_shared<const Process>(Process::open(pid).value())).value();
}

struct MtreeLine {
  GpaRange range;
  std::string type;
  std::string name;
  std::uint64_t offset;
};

/// "  START-LAST (prio N, TYPE): NAME @OFFSET KVM", the last two are optional.
std::optional<MtreeLine> parse_mtree_line(std::string_view text) {
  const std::string_view line = trim(text);
  const std::size_t type = line.find(", ");
  const std::size_t name = line.find("): ");
  if (line.find(" (prio ") != 33 || type == std::string_view::npos || name == std::string_view::npos) {
    return std::nullopt;
  }
  std::string_view rest = line.substr(name + 3);
  rest = rest.substr(0, rest.ends_with(" KVM") ? rest.size() - 4 : rest.size());
  std::uint64_t offset = 0;
  if (const std::size_t at = rest.rfind(" @"); at != std::string_view::npos) {
    offset = parse_hex(rest.substr(at + 2)).value();
    rest = rest.substr(0, at);
  }
  const GpaRange range{Gpa{parse_hex(line.substr(0, 16)).value()},
                       Gpa{parse_hex(line.substr(17, 16)).value() + 1}};
  return MtreeLine{range, std::string{line.substr(type + 2, name - type - 2)}, std::string{rest}, offset};
}

/// The lines of the view of the address space "memory".
std::vector<MtreeLine> mtree(QemuGuest& guest) {
  std::vector<MtreeLine> lines;
  bool wanted = false;
  bool header = true;
  const std::string answer = guest.monitor().human("info mtree -f");
  for (const std::string_view text : split(answer, '\n')) {
    if (text.starts_with("FlatView #")) {
      header = true;
      wanted = false;
    }
    wanted = wanted || (header && text.starts_with(" AS \"memory\""));
    if (auto line = parse_mtree_line(text)) {
      header = false;
      if (wanted) {
        lines.push_back(std::move(*line));
      }
    }
  }
  return lines;
}

Hva gpa2hva(QemuGuest& guest, Gpa gpa) {
  const std::string answer = guest.monitor().human(fmt::format("gpa2hva {:#x}", gpa.value()));
  const std::size_t at = answer.rfind("0x");
  return at == std::string::npos ? 0 : parse_u64(trim(std::string_view{answer}.substr(at))).value();
}

void expect_same_as_monitor(QemuGuest& guest, const FlatView& view) {
  std::vector<MtreeLine> expected = mtree(guest);
  ASSERT_FALSE(expected.empty());
  std::erase_if(expected, [](const MtreeLine& line) { return line.type == "i/o" || line.type == "ramd"; });
  ASSERT_EQ(view.ranges.size(), expected.size());
  for (std::size_t i = 0; i < expected.size(); ++i) {
    const FlatRangeInfo& range = view.ranges[i];
    SCOPED_TRACE(
        fmt::format("{:#x} {} {}", expected[i].range.begin.value(), expected[i].type, expected[i].name));
    EXPECT_EQ(range.range.begin.value(), expected[i].range.begin.value());
    EXPECT_EQ(range.range.end.value(), expected[i].range.end.value());
    EXPECT_EQ(range.name, expected[i].name);
    EXPECT_EQ(range.offset, expected[i].offset);
    EXPECT_EQ(range.rom, expected[i].type == "rom" || expected[i].type == "romd");
    EXPECT_EQ(range.writable, !range.rom);
    EXPECT_FALSE(range.device);
    EXPECT_EQ(range.hva, gpa2hva(guest, range.range.begin));
  }
}

const FlatRangeInfo* find_named(const FlatView& view, std::string_view name) {
  const auto found = std::ranges::find(view.ranges, name, &FlatRangeInfo::name);
  return found == view.ranges.end() ? nullptr : &*found;
}

struct Machine {
  std::string name;
  std::string machine;
  std::string memory;
  std::vector<std::string> extra = {};
};

/// Tests run in parallel, each in its own process.
std::string shared_file() { return fmt::format("/dev/shm/vmemfs-flat-view-{}", ::getpid()); }

class FlatViewOfMachine : public testing::TestWithParam<Machine> {
protected:
  void TearDown() override { std::filesystem::remove(shared_file()); }
};

TEST_P(FlatViewOfMachine, EqualsMonitor) {
  QemuGuest guest = start(GetParam().machine, GetParam().memory, GetParam().extra);
  const auto reader = FlatViewReader::open(space_of(guest.pid()));
  ASSERT_TRUE(reader) << reader.error().message();
  const auto before = reader->read();
  ASSERT_TRUE(before) << before.error().message();
  expect_same_as_monitor(guest, *before);
  EXPECT_EQ(before->stamp, reader->stamp().value());

  // While the firmware runs, views are replaced many times per second.
  guest.resume();
  int read = 0;
  const auto end = std::chrono::steady_clock::now() + 700ms;
  while (std::chrono::steady_clock::now() < end) {
    const auto view = reader->read();
    EXPECT_TRUE(view || view.error().kind == ErrorKind::busy) << view.error().message();
    read += view ? 1 : 0;
  }
  EXPECT_GT(read, 0);
  guest.pause();
  const auto after = reader->read();
  ASSERT_TRUE(after) << after.error().message();
  expect_same_as_monitor(guest, *after);
  EXPECT_EQ(after->stamp, reader->stamp().value());
}

std::vector<Machine> machines() {
  const std::string shm = shared_file();
  const auto backend = [](const std::string& kind) { return std::vector<std::string>{"-object", kind}; };
  return {
      {"pc_512M", "pc", "512M"},
      {"pc_3584M", "pc", "3584M"},
      {"pc_5G", "pc", "5G"},
      {"q35_5G", "q35", "5G"},
      {"q35_without_smm", "q35,smm=off", "1G"},
      {"microvm", "microvm", "256M"},
      {"numa",
       "pc",
       "512M",
       {"-smp", "2", "-object", "memory-backend-ram,id=n0,size=256M", "-object",
        "memory-backend-ram,id=n1,size=256M", "-numa", "node,memdev=n0", "-numa", "node,memdev=n1"}},
      {"memfd_shared", "pc,memory-backend=m0", "256M",
       backend("memory-backend-memfd,id=m0,size=256M,share=on")},
      {"memfd_private", "pc,memory-backend=m0", "256M",
       backend("memory-backend-memfd,id=m0,size=256M,share=off")},
      {"file_shared", "pc,memory-backend=m0", "256M",
       backend("memory-backend-file,id=m0,size=256M,share=on,mem-path=" + shm)},
      {"ivshmem",
       "pc",
       "128M",
       {"-object", "memory-backend-file,id=s0,size=1M,share=on,mem-path=" + shm, "-device",
        "ivshmem-plain,memdev=s0"}},
      {"vga", "pc", "128M", {"-vga", "std"}},
      {"ovmf",
       "q35",
       "256M",
       {"-drive", "if=pflash,format=raw,readonly=on,file=/usr/share/OVMF/OVMF_CODE_4M.fd", "-drive",
        "if=pflash,format=raw,snapshot=on,file=/usr/share/OVMF/OVMF_VARS_4M.fd"}},
  };
}

INSTANTIATE_TEST_SUITE_P(All, FlatViewOfMachine, testing::ValuesIn(machines()),
                         [](const auto& machine) { return machine.param.name; });

TEST(FlatView, DeviceBlocks_AreNamedByDevicePath) {
  QemuGuest guest = start("pc", "128M", {"-vga", "std"});
  guest.resume();
  const auto reader = FlatViewReader::open(space_of(guest.pid()));
  ASSERT_TRUE(reader) << reader.error().message();
  const auto end = std::chrono::steady_clock::now() + 60s;
  while (std::chrono::steady_clock::now() < end) {
    const auto view = reader->read();
    if (view && find_named(*view, "vga.vram") != nullptr) {
      EXPECT_EQ(find_named(*view, "vga.vram")->block_id, "0000:00:02.0/vga.vram");
      EXPECT_EQ(view->ranges.front().block_id, "pc.ram");
      return;
    }
    std::this_thread::sleep_for(1ms);
  }
  FAIL() << "the firmware did not map video memory";
}

TEST(FlatView, Stamp_HotPlug_Changes) {
  QemuGuest guest = start("pc", "128M,slots=2,maxmem=1G");
  const auto reader = FlatViewReader::open(space_of(guest.pid()));
  ASSERT_TRUE(reader) << reader.error().message();
  const auto before = reader->stamp().value();
  EXPECT_EQ(reader->stamp().value(), before);
  guest.monitor().execute("object-add",
                          {{"qom-type", "memory-backend-memfd"}, {"id", "d0"}, {"size", 128 << 20}});
  const auto with_block = reader->stamp().value();
  EXPECT_NE(with_block, before);
  guest.monitor().execute("device_add", {{"driver", "pc-dimm"}, {"id", "dimm0"}, {"memdev", "d0"}});
  EXPECT_NE(reader->stamp().value(), with_block);
  const auto view = reader->read();
  ASSERT_TRUE(view) << view.error().message();
  expect_same_as_monitor(guest, *view);
  ASSERT_NE(find_named(*view, "d0"), nullptr);
  EXPECT_EQ(find_named(*view, "d0")->range.size(), 128U << 20);
}

/// A stamp that changes without reason would cost a new map at every read.
TEST(FlatView, Stamp_RunningGuest_IsConstant) {
  QemuGuest guest = start("pc", "128M", {"-vga", "std"});
  const auto reader = FlatViewReader::open(space_of(guest.pid()));
  ASSERT_TRUE(reader) << reader.error().message();
  guest.resume();
  std::uint64_t stamp = 0;
  int same = 0;
  for (int i = 0; i < 10000 && same < 1000; ++i) {
    const std::uint64_t now = reader->stamp().value();
    same = now == stamp ? same + 1 : 0;
    stamp = now;
    std::this_thread::sleep_for(1ms);
  }
  EXPECT_EQ(same, 1000);
}

/// The same backend is created again: same layout, often at the same addresses.
TEST(FlatView, Stamp_ReplacedBlock_Changes) {
  QemuGuest guest = start("pc", "128M");
  const auto reader = FlatViewReader::open(space_of(guest.pid()));
  ASSERT_TRUE(reader) << reader.error().message();
  std::vector<std::uint64_t> stamps{reader->stamp().value()};
  for (int round = 0; round < 5; ++round) {
    guest.monitor().execute("object-add",
                            {{"qom-type", "memory-backend-memfd"}, {"id", "d0"}, {"size", 16 << 20}});
    stamps.push_back(reader->stamp().value());
    guest.monitor().execute("object-del", {{"id", "d0"}});
    stamps.push_back(reader->stamp().value());
  }
  std::ranges::sort(stamps);
  EXPECT_EQ(std::ranges::adjacent_find(stamps), stamps.end());
}

TEST(FlatView, MemoryIsReadThroughHostMemory) {
  QemuGuest guest = start("pc", "128M");
  const auto space = space_of(guest.pid());
  const auto reader = FlatViewReader::open(space);
  ASSERT_TRUE(reader) << reader.error().message();
  const auto view = reader->read();
  ASSERT_TRUE(view) << view.error().message();
  const FlatRangeInfo* const bios = find_named(*view, "pc.bios");
  ASSERT_NE(bios, nullptr);
  std::vector<HvaRange> ranges;
  for (const FlatRangeInfo& range : view->ranges) {
    ranges.push_back({range.hva, range.hva + range.range.size()});
  }
  const auto memory = HostMemory::open(space, ranges);
  ASSERT_TRUE(memory) << memory.error().message();
  // The reset vector: a far jump.
  std::array<std::byte, 16> reset{};
  HostPiece piece{bios->hva + bios->range.size() - reset.size(), reset};
  (*memory)->read({&piece, 1});
  EXPECT_FALSE(piece.failure);
  EXPECT_EQ(reset.front(), std::byte{0xea});
  guest.process().signal(SIGKILL);
  ASSERT_TRUE(guest.process().wait(30s));
  (*memory)->read({&piece, 1});
  EXPECT_EQ(piece.failure, ErrorKind::vm_gone);
  EXPECT_EQ(reader->stamp().error().kind, ErrorKind::vm_gone);
  EXPECT_EQ(reader->read().error().kind, ErrorKind::vm_gone);
}

TEST(FlatView, RefusesOtherPrograms) {
  EXPECT_EQ(FlatViewReader::open(space_of(::getpid())).error().kind, ErrorKind::unsupported);
}

} // namespace
} // namespace vmemfs::qemu
