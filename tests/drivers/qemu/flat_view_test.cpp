// Against real QEMU guests (TCG, firmware only): what its own monitor says is the truth.
#include "core/text.h"
#include "drivers/qemu/flat_view.h"
#include "util/host_memory.h"

#include <algorithm>
#include <array>
#include <chrono>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fmt/format.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>
#include <regex>
#include <spawn.h>
#include <string>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <thread>
#include <unistd.h>
#include <vector>

extern char** environ; // NOLINT(readability-redundant-declaration)

namespace vmemfs::qemu {
namespace {

using namespace std::chrono_literals;

/// A QEMU with a QMP monitor, without a guest operating system; killed at the end.
class Guest {
public:
  explicit Guest(std::vector<std::string> options) {
    dir_ = "/tmp/vmemfs-flat-view-XXXXXX";
    if (::mkdtemp(dir_.data()) == nullptr) {
      throw std::runtime_error{"mkdtemp"};
    }
    const std::string socket = dir_ + "/qmp";
    std::vector<std::string> arguments{"qemu-system-x86_64",
                                       "-accel",
                                       "tcg",
                                       "-nodefaults",
                                       "-display",
                                       "none",
                                       "-qmp",
                                       "unix:" + socket + ",server=on,wait=off",
                                       "-S"};
    arguments.insert(arguments.end(), options.begin(), options.end());
    std::vector<char*> argv;
    for (std::string& argument : arguments) {
      argv.push_back(argument.data());
    }
    argv.push_back(nullptr);
    if (::posix_spawnp(&pid_, argv.front(), nullptr, nullptr, argv.data(), environ) != 0) {
      throw std::runtime_error{"can't start qemu-system-x86_64; apt-get install qemu-system-x86"};
    }
    connect(socket);
    execute("qmp_capabilities");
  }
  Guest(const Guest&) = delete;
  Guest& operator=(const Guest&) = delete;
  ~Guest() {
    kill();
    ::close(socket_);
    std::filesystem::remove_all(dir_);
  }

  void kill() {
    if (pid_ > 0) {
      ::kill(pid_, SIGKILL);
      ::waitpid(pid_, nullptr, 0);
      pid_ = 0;
    }
  }

  [[nodiscard]] pid_t pid() const { return pid_; }

  nlohmann::json execute(const std::string& command, nlohmann::json arguments = nlohmann::json::object()) {
    const std::string text =
        nlohmann::json{{"execute", command}, {"arguments", std::move(arguments)}}.dump() + "\n";
    if (::write(socket_, text.data(), text.size()) != static_cast<ssize_t>(text.size())) {
      throw std::runtime_error{"write to QMP"};
    }
    while (true) {
      auto answer = nlohmann::json::parse(read_line());
      if (answer.contains("return")) {
        return answer["return"];
      }
      if (answer.contains("error")) {
        throw std::runtime_error{answer.dump()};
      }
    }
  }

  std::string hmp(const std::string& command) {
    return execute("human-monitor-command", {{"command-line", command}}).get<std::string>();
  }

  [[nodiscard]] std::shared_ptr<const Process> process() const {
    return std::make_shared<const Process>(Process::open(pid_).value());
  }

private:
  void connect(const std::string& path) {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    std::memcpy(address.sun_path, path.c_str(), path.size() + 1);
    socket_ = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    for (int i = 0; i < 1000; ++i) {
      if (::connect(socket_, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0) {
        return;
      }
      std::this_thread::sleep_for(10ms);
    }
    throw std::runtime_error{"QEMU did not start"};
  }

  std::string read_line() {
    std::size_t end = 0;
    while ((end = received_.find('\n')) == std::string::npos) {
      std::array<char, 4096> chunk{};
      const ssize_t got = ::read(socket_, chunk.data(), chunk.size());
      if (got <= 0) {
        throw std::runtime_error{"QMP closed"};
      }
      received_.append(chunk.data(), static_cast<std::size_t>(got));
    }
    std::string line = received_.substr(0, end);
    received_.erase(0, end + 1);
    return line;
  }

  pid_t pid_ = 0;
  int socket_ = -1;
  std::string dir_;
  std::string received_;
};

struct MtreeLine {
  GpaRange range;
  std::string type;
  std::string name;
  std::uint64_t offset;
};

/// The lines of the view that the address space "memory" has.
std::vector<MtreeLine> mtree(Guest& guest) {
  static const std::regex kLine{
      R"(\s+([0-9a-f]{16})-([0-9a-f]{16}) \(prio -?\d+, (\S+)\): (.*?)( @([0-9a-f]+))?( KVM)?\r?)"};
  std::vector<MtreeLine> lines;
  const std::string text = guest.hmp("info mtree -f");
  bool header = true;
  bool wanted = false;
  for (const std::string_view piece : split(text, '\n')) {
    const std::string line{piece};
    if (line.starts_with("FlatView #")) {
      header = true;
      wanted = false;
    }
    wanted = wanted || (header && line.starts_with(" AS \"memory\""));
    std::smatch match;
    if (!std::regex_match(line, match, kLine)) {
      continue;
    }
    header = false;
    if (wanted) {
      const auto hex = [&](std::size_t i) {
        return match[i].matched ? parse_hex(match[i].str()).value() : 0;
      };
      lines.push_back({{Gpa{hex(1)}, Gpa{hex(2) + 1}}, match[3], match[4], hex(6)});
    }
  }
  return lines;
}

Hva gpa2hva(Guest& guest, Gpa gpa) {
  const std::string answer = guest.hmp(fmt::format("gpa2hva {:#x}", gpa.value()));
  const std::size_t at = answer.rfind("0x");
  return at == std::string::npos ? 0 : parse_u64(trim(std::string_view{answer}.substr(at))).value();
}

void expect_same_as_monitor(Guest& guest, const FlatView& view) {
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
  std::vector<std::string> options;
};

class FlatViewOfMachine : public testing::TestWithParam<Machine> {};

TEST_P(FlatViewOfMachine, EqualsMonitor) {
  Guest guest{GetParam().options};
  const auto reader = FlatViewReader::open(guest.process());
  ASSERT_TRUE(reader) << reader.error().message();
  const auto before = reader->read();
  ASSERT_TRUE(before) << before.error().message();
  expect_same_as_monitor(guest, *before);
  EXPECT_EQ(before->stamp, reader->stamp().value());

  // While the firmware runs views come and go many times a second.
  guest.execute("cont");
  int read = 0;
  const auto end = std::chrono::steady_clock::now() + 700ms;
  while (std::chrono::steady_clock::now() < end) {
    const auto view = reader->read();
    EXPECT_TRUE(view || view.error().kind == ErrorKind::busy) << view.error().message();
    read += view ? 1 : 0;
  }
  EXPECT_GT(read, 0);
  guest.execute("stop");
  const auto after = reader->read();
  ASSERT_TRUE(after) << after.error().message();
  expect_same_as_monitor(guest, *after);
  EXPECT_EQ(after->stamp, reader->stamp().value());
}

std::vector<Machine> machines() {
  const std::string shm = "/dev/shm/vmemfs-flat-view-test";
  return {
      {"pc_512M", {"-M", "pc", "-m", "512M"}},
      {"pc_3584M", {"-M", "pc", "-m", "3584M"}},
      {"pc_5G", {"-M", "pc", "-m", "5G"}},
      {"q35_5G", {"-M", "q35", "-m", "5G"}},
      {"microvm", {"-M", "microvm", "-m", "256M"}},
      {"numa",
       {"-M", "pc", "-m", "512M", "-smp", "2", "-object", "memory-backend-ram,id=n0,size=256M", "-object",
        "memory-backend-ram,id=n1,size=256M", "-numa", "node,memdev=n0", "-numa", "node,memdev=n1"}},
      {"memfd_shared",
       {"-M", "pc,memory-backend=m0", "-m", "256M", "-object",
        "memory-backend-memfd,id=m0,size=256M,share=on"}},
      {"memfd_private",
       {"-M", "pc,memory-backend=m0", "-m", "256M", "-object",
        "memory-backend-memfd,id=m0,size=256M,share=off"}},
      {"file_shared",
       {"-M", "pc,memory-backend=m0", "-m", "256M", "-object",
        "memory-backend-file,id=m0,size=256M,share=on,mem-path=" + shm}},
      {"ivshmem",
       {"-M", "pc", "-m", "128M", "-object",
        "memory-backend-file,id=s0,size=1M,share=on,mem-path=" + shm + "-iv", "-device",
        "ivshmem-plain,memdev=s0"}},
      {"vga", {"-M", "pc", "-m", "128M", "-vga", "std"}},
      {"q35_without_smm", {"-M", "q35,smm=off", "-m", "1G"}},
      {"ovmf",
       {"-M", "q35", "-m", "256M", "-drive",
        "if=pflash,format=raw,readonly=on,file=/usr/share/OVMF/OVMF_CODE_4M.fd", "-drive",
        "if=pflash,format=raw,snapshot=on,file=/usr/share/OVMF/OVMF_VARS_4M.fd"}},
  };
}

INSTANTIATE_TEST_SUITE_P(All, FlatViewOfMachine, testing::ValuesIn(machines()),
                         [](const auto& machine) { return machine.param.name; });

TEST(FlatView, NamesBlocksOfDevicesByTheirPath) {
  Guest guest{{"-M", "pc", "-m", "128M", "-vga", "std"}};
  guest.execute("cont");
  const auto reader = FlatViewReader::open(guest.process());
  ASSERT_TRUE(reader) << reader.error().message();
  const auto end = std::chrono::steady_clock::now() + 10s;
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

TEST(FlatView, StampChangesWithHotPlug) {
  Guest guest{{"-M", "pc", "-m", "128M,slots=2,maxmem=1G"}};
  const auto reader = FlatViewReader::open(guest.process());
  ASSERT_TRUE(reader) << reader.error().message();
  const auto before = reader->stamp().value();
  EXPECT_EQ(reader->stamp().value(), before);
  guest.execute("object-add", {{"qom-type", "memory-backend-memfd"}, {"id", "d0"}, {"size", 128 << 20}});
  const auto with_block = reader->stamp().value();
  EXPECT_NE(with_block, before);
  guest.execute("device_add", {{"driver", "pc-dimm"}, {"id", "dimm0"}, {"memdev", "d0"}});
  EXPECT_NE(reader->stamp().value(), with_block);
  const auto view = reader->read();
  ASSERT_TRUE(view) << view.error().message();
  expect_same_as_monitor(guest, *view);
  ASSERT_NE(find_named(*view, "d0"), nullptr);
  EXPECT_EQ(find_named(*view, "d0")->range.size(), 128U << 20);
}

/// A stamp that changes without need would cost a new map at every read.
TEST(FlatView, StampStaysWhileTheGuestRuns) {
  Guest guest{{"-M", "pc", "-m", "128M", "-vga", "std"}};
  const auto reader = FlatViewReader::open(guest.process());
  ASSERT_TRUE(reader) << reader.error().message();
  guest.execute("cont");
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

/// The same backend made again: same layout, often at the same addresses.
TEST(FlatView, StampTellsReplacedBlockFromTheFirst) {
  Guest guest{{"-M", "pc", "-m", "128M"}};
  const auto reader = FlatViewReader::open(guest.process());
  ASSERT_TRUE(reader) << reader.error().message();
  std::vector<std::uint64_t> stamps{reader->stamp().value()};
  for (int round = 0; round < 5; ++round) {
    guest.execute("object-add", {{"qom-type", "memory-backend-memfd"}, {"id", "d0"}, {"size", 16 << 20}});
    stamps.push_back(reader->stamp().value());
    guest.execute("object-del", {{"id", "d0"}});
    stamps.push_back(reader->stamp().value());
  }
  std::ranges::sort(stamps);
  EXPECT_EQ(std::ranges::adjacent_find(stamps), stamps.end());
}

TEST(FlatView, MemoryIsReadThroughHostMemory) {
  Guest guest{{"-M", "pc", "-m", "128M"}};
  const auto process = guest.process();
  const auto reader = FlatViewReader::open(process);
  ASSERT_TRUE(reader) << reader.error().message();
  const auto view = reader->read();
  ASSERT_TRUE(view) << view.error().message();
  const FlatRangeInfo* const bios = find_named(*view, "pc.bios");
  ASSERT_NE(bios, nullptr);
  std::vector<HvaRange> ranges;
  for (const FlatRangeInfo& range : view->ranges) {
    ranges.push_back({range.hva, range.hva + range.range.size()});
  }
  const auto memory = HostMemory::open(process, ranges);
  ASSERT_TRUE(memory) << memory.error().message();
  // The reset vector: a far jump.
  std::array<std::byte, 16> reset{};
  HostPiece piece{bios->hva + bios->range.size() - reset.size(), reset};
  (*memory)->read({&piece, 1});
  EXPECT_FALSE(piece.failure);
  EXPECT_EQ(reset.front(), std::byte{0xea});
  guest.kill();
  (*memory)->read({&piece, 1});
  EXPECT_EQ(piece.failure, ErrorKind::vm_gone);
  EXPECT_EQ(reader->stamp().error().kind, ErrorKind::vm_gone);
  EXPECT_EQ(reader->read().error().kind, ErrorKind::vm_gone);
}

TEST(FlatView, RefusesOtherPrograms) {
  const auto self = std::make_shared<const Process>(Process::open(::getpid()).value());
  EXPECT_EQ(FlatViewReader::open(self).error().kind, ErrorKind::unsupported);
}

TEST(FlatView, StampIsCheap) {
  Guest guest{{"-M", "pc", "-m", "128M"}};
  const auto reader = FlatViewReader::open(guest.process());
  ASSERT_TRUE(reader) << reader.error().message();
  constexpr int kRounds = 20000;
  const auto start = std::chrono::steady_clock::now();
  for (int i = 0; i < kRounds; ++i) {
    static_cast<void>(reader->stamp());
  }
  const std::chrono::duration<double, std::micro> took = std::chrono::steady_clock::now() - start;
  RecordProperty("stamp_microseconds", fmt::format("{:.2f}", took.count() / kRounds));
  EXPECT_LT(took.count() / kRounds, 100);
}

} // namespace
} // namespace vmemfs::qemu
