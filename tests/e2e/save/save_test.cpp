// SPDX-License-Identifier: MIT
// `vmemfs save` of real guests, compared with what QEMU itself writes out.
#include "e2e/images/elf_file.h"
#include "fs/save/avml_file.h"
#include "support/mount.h"
#include "support/qemu_guest.h"
#include "support/users.h"
#include "util/unique_fd.h"

#include <algorithm>
#include <chrono>
#include <csignal>
#include <cstring>
#include <fcntl.h>
#include <filesystem>
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <sys/stat.h>
#include <unistd.h>
#include <utility>
#include <vector>

namespace vmemfs::test {
namespace {

using testing::ContainsRegex;
using testing::HasSubstr;
using namespace std::chrono_literals;

constexpr std::uint64_t kMemory = std::uint64_t{64} << 20U; ///< of the guest

RunResult save(const std::vector<std::string>& args) { return run(joined({VMEMFS_PROGRAM, "save"}, args)); }

std::string sha256sum(const std::string& path) { return run({"sha256sum", path}).text.substr(0, 64); }

nlohmann::json json_of(const std::string& path) { return nlohmann::json::parse(read_file(path)); }

struct Range {
  std::uint64_t begin;
  std::uint64_t end;
};

std::vector<Range> ranges_of(const nlohmann::json& sidecar) {
  std::vector<Range> ranges;
  for (const auto& range : sidecar["ranges"]) {
    ranges.push_back({std::stoull(range["begin"].get<std::string>(), nullptr, 16),
                      std::stoull(range["end"].get<std::string>(), nullptr, 16)});
  }
  return ranges;
}

class Save : public testing::Test {
protected:
  explicit Save(GuestOptions options = {}) : guest_{options} {}

  void expect_truth(const std::string& bytes, std::uint64_t offset, Range range, const std::string& what) {
    ASSERT_LE(offset + (range.end - range.begin), bytes.size()) << what;
    const auto truth = guest_.pmemsave(range.begin, range.end - range.begin);
    EXPECT_TRUE(std::memcmp(bytes.data() + offset, truth.data(), truth.size()) == 0)
        << what << std::hex << range.begin;
  }

  /// What holds for an image in any format.
  void expect_facts(const std::string& file, const std::string& format, const std::string& source) {
    const auto json = json_of(file + ".json");
    EXPECT_EQ(json["image"]["format"], format);
    EXPECT_EQ(json["image"]["source"], source);
    EXPECT_EQ(json["image"]["sha256"], sha256sum(file));
    EXPECT_EQ(json["image"]["bytes"], std::filesystem::file_size(file));
    EXPECT_EQ(json["image"]["complete"], true);
    EXPECT_EQ(json["vm"]["driver"], "qemu");
    EXPECT_EQ(json["unreadable"]["bytes"], 0);
    struct stat status {};
    for (const std::string& path : {file, file + ".json"}) {
      ASSERT_EQ(::stat(path.c_str(), &status), 0);
      EXPECT_EQ(status.st_mode & 07777U, 0600U) << path;
      EXPECT_FALSE(exists(path + ".partial"));
    }
  }

  [[nodiscard]] bool running_soon() {
    return eventually([this] { return guest_.running(); }, 30s);
  }

  QemuGuest guest_;
  Mount mount_{{"--vm", fmt::format("vm=qemu:qmp={}", guest_.driver_socket())}};
  TempDir dir_;
};

class SaveWithADimm : public Save {
protected:
  static GuestOptions options() {
    GuestOptions options;
    options.memory = "64M,slots=1,maxmem=1G";
    options.extra = {"-object", "memory-backend-ram,id=dimm,size=128M", "-device", "pc-dimm,memdev=dimm"};
    return options;
  }
  SaveWithADimm() : Save{options()} { guest_.pause(); }
};

TEST_F(SaveWithADimm, Lime_IsWhatQemuWritesOut) {
  const std::string file = dir_ / "vm.lime";
  const auto result = save({"--format", "lime", mount_ / "vm", file});
  ASSERT_EQ(result.code, 0) << result.text;
  EXPECT_THAT(result.text, HasSubstr(fmt::format("saved '{}' to '{}': ", mount_ / "vm", file)));
  expect_facts(file, "lime", "mem.lime");
  const std::string bytes = read_file(file);
  std::size_t ranges = 0;
  for (std::size_t at = 0; at < bytes.size(); ++ranges) {
    struct {
      std::uint32_t magic;
      std::uint32_t version;
      std::uint64_t begin;
      std::uint64_t last;
      std::uint64_t reserved;
    } header{};
    ASSERT_LE(at + sizeof header, bytes.size());
    std::memcpy(&header, bytes.data() + at, sizeof header);
    ASSERT_EQ(header.magic, 0x4C694D45U) << at;
    expect_truth(bytes, at + sizeof header, {header.begin, header.last + 1}, "lime ");
    at += sizeof header + (header.last + 1 - header.begin);
  }
  EXPECT_GE(ranges, 2U);
}

TEST_F(SaveWithADimm, Elf_IsTheDefaultAndWhatQemuWritesOut) {
  const std::string file = dir_ / "vm.elf";
  const auto result = save({mount_ / "vm", file});
  ASSERT_EQ(result.code, 0) << result.text;
  expect_facts(file, "elf", "core");
  const std::string bytes = read_file(file);
  const ElfFile elf{bytes};
  const auto loads = elf.headers(PT_LOAD);
  EXPECT_GE(loads.size(), 2U);
  for (const Elf64_Phdr& load : loads) {
    expect_truth(bytes, load.p_offset, {load.p_paddr, load.p_paddr + load.p_filesz}, "elf ");
  }
  EXPECT_EQ(elf.notes("CORE").size(), 1U) << "registers";
}

TEST_F(SaveWithADimm, Avml_IsWhatQemuWritesOut_AndIsReadByTheDriverDump) {
  const std::string file = dir_ / "vm.avml";
  const auto result = save({"--format", "avml", mount_ / "vm", file});
  ASSERT_EQ(result.code, 0) << result.text;
  EXPECT_THAT(result.text, HasSubstr(" of memory read, in "));
  expect_facts(file, "avml", "mem.lime");
  const AvmlFile image{read_file(file)};
  std::vector<Range> ranges; // of the blocks, joined
  for (const AvmlBlock& block : image.blocks()) {
    const Range range{block.begin, block.begin + block.memory.size()};
    expect_truth(block.memory, 0, range, "avml ");
    if (!ranges.empty() && ranges.back().end == range.begin) {
      ranges.back().end = range.end;
    } else {
      ranges.push_back(range);
    }
  }
  EXPECT_GE(ranges.size(), 2U);
  ASSERT_EQ(save({"--format", "lime", mount_ / "vm", dir_ / "vm.lime"}).code, 0);
  const Mount saved{{"--vm", "vm=dump:path=" + file, "--vm", "lime=dump:path=" + (dir_ / "vm.lime")}};
  EXPECT_EQ(sha256sum(saved / "vm/mem.lime"), sha256sum(saved / "lime/mem.lime"));
  EXPECT_EQ(sha256sum(saved / "vm/mem.lime"), sha256sum(dir_ / "vm.lime"));
}

/// Those up to CR4, which QEMU's note has.
std::string noted_registers(const std::string& path) {
  const std::string text = read_file(path);
  EXPECT_THAT(text, ContainsRegex("rip 0x.*\ncr4 0x"));
  return text.substr(0, text.find('\n', text.find("\ncr4 ") + 1));
}

TEST_F(SaveWithADimm, Kdump_IsReadByTheDriverDump) {
  const std::string file = dir_ / "vm.kdump";
  const auto result = save({"--format", "kdump", mount_ / "vm", file});
  ASSERT_EQ(result.code, 0) << result.text;
  expect_facts(file, "kdump", "core");
  const std::string piped = dir_ / "piped";
  const auto flattened = run({"sh", "-c",
                              fmt::format("{} save --quiet --format kdump --sidecar {}.json {} - >{}",
                                          VMEMFS_PROGRAM, piped, mount_ / "vm", piped)});
  ASSERT_EQ(flattened.code, 0) << flattened.text;
  EXPECT_EQ(json_of(piped + ".json")["image"]["sha256"], sha256sum(piped));
  for (const std::string& path : {file, piped}) {
    const Mount saved{{"--vm", "vm=dump:path=" + path}};
    EXPECT_EQ(noted_registers(saved / "vm/vcpus/0/regs"), noted_registers(mount_ / "vm/vcpus/0/regs"));
    const std::string memory = saved / "vm/mem";
    const UniqueFd opened{::open(memory.c_str(), O_RDONLY | O_CLOEXEC)};
    std::size_t ranges = 0;
    for (const Range& range : ranges_of(json_of(file + ".json"))) {
      const std::uint64_t size = range.end - range.begin;
      EXPECT_TRUE(pread_at(opened.get(), range.begin, size).bytes == guest_.pmemsave(range.begin, size))
          << path << std::hex << range.begin;
      ++ranges;
    }
    EXPECT_GE(ranges, 2U);
  }
}

class SaveOfLittleTouched : public Save {
protected:
  static GuestOptions options() {
    GuestOptions options;
    options.fill = "none";
    return options;
  }
  SaveOfLittleTouched() : Save{options()} { guest_.pause(); }
};

TEST_F(SaveOfLittleTouched, Raw_IsWhatQemuWritesOutAndSparse) {
  const std::string file = dir_ / "vm.raw";
  const auto result = save({"--format", "raw", mount_ / "vm", file});
  ASSERT_EQ(result.code, 0) << result.text;
  expect_facts(file, "raw", "mem_padded");
  const std::string bytes = read_file(file);
  EXPECT_EQ(bytes.size(), kMemory);
  std::uint64_t end = 0;
  for (const Range& range : ranges_of(json_of(file + ".json"))) {
    const std::uint64_t hole_end = std::min(range.begin, kMemory);
    EXPECT_EQ(bytes.substr(end, hole_end - end).find_first_not_of('\0'), std::string::npos) << end;
    if (range.begin < kMemory) {
      expect_truth(bytes, range.begin, range, "raw ");
    }
    end = std::min(range.end, kMemory);
  }
  struct stat status {};
  ASSERT_EQ(::stat(file.c_str(), &status), 0);
  EXPECT_LT(static_cast<std::uint64_t>(status.st_blocks) * 512, kMemory / 2);
}

TEST_F(Save, ToAPipe_IsTheSameAsAFile) {
  guest_.pause();
  for (const std::string format : {"raw", "lime", "elf", "avml"}) {
    const std::string file = dir_ / format;
    ASSERT_EQ(save({"--quiet", "--format", format, mount_ / "vm", file}).code, 0);
    const auto piped = run({"sh", "-c",
                            fmt::format("{} save --quiet --format {} --sidecar {}.pipe {} - | sha256sum",
                                        VMEMFS_PROGRAM, format, file, mount_ / "vm")});
    EXPECT_THAT(piped.text, HasSubstr(sha256sum(file))) << format;
    EXPECT_EQ(json_of(file + ".pipe")["image"]["sha256"], sha256sum(file));
  }
}

TEST_F(Save, ReaderOfThePipeEnds_SaysSo) {
  const auto piped =
      run({"sh", "-c",
           fmt::format("{{ {} save --format raw {} -; echo code $? >&2; }} | head -c 10 >/dev/null",
                       VMEMFS_PROGRAM, mount_ / "vm")});
  EXPECT_THAT(piped.text, HasSubstr("cannot write 'standard output': Broken pipe; the program that reads"));
  EXPECT_THAT(piped.text, HasSubstr("code 1"));
}

TEST_F(Save, Pause_IsOfOneMomentAndEnds) {
  for (const std::string format : {"elf", "avml", "kdump"}) {
    const std::string file = dir_ / format;
    const auto result = save({"--pause", "--format", format, mount_ / "vm", file});
    ASSERT_EQ(result.code, 0) << result.text;
    EXPECT_THAT(result.text, ContainsRegex("the guest was paused for [0-9]+ ms"));
    const auto json = json_of(file + ".json");
    EXPECT_EQ(json["mode"], "paused");
    EXPECT_TRUE(json["pause_ms"].is_number());
    EXPECT_EQ(json["guest"]["state_before"], "running");
    EXPECT_EQ(json["guest"]["state_after"], "running");
    EXPECT_EQ(json["guest"]["changed"], false);
    EXPECT_TRUE(guest_.running());
  }
}

TEST_F(Save, PauseOfAGuestThatSomebodyElsePaused_StaysPaused) {
  guest_.pause();
  const std::string file = dir_ / "vm.elf";
  const auto result = save({"--pause", mount_ / "vm", file});
  ASSERT_EQ(result.code, 0) << result.text;
  EXPECT_EQ(json_of(file + ".json")["guest"]["state_after"], "paused");
  EXPECT_FALSE(guest_.running());
}

/// Killed at whatever time of the pause, or after it; the tests with slow guests and pipes hit the pause.
TEST_F(Save, KilledAroundThePause_GuestRunsAgainAndThereIsNoHalfFile) {
  for (int i = 0; i < 10; ++i) {
    const std::string file = dir_ / fmt::format("vm{}", i);
    ChildProcess process{{VMEMFS_PROGRAM, "save", "--pause", "--format", "raw", mount_ / "vm", file},
                         dir_ / "log"};
    ASSERT_TRUE(eventually([&] { return !guest_.running() || exists(file); }, 30s))
        << read_file(dir_ / "log");
    process.signal(SIGKILL);
    static_cast<void>(process.wait(30s));
    EXPECT_TRUE(running_soon());
    if (exists(file)) {
      EXPECT_EQ(json_of(file + ".json")["image"]["sha256"], sha256sum(file));
    }
  }
}

/// A pipe that nobody reads keeps the guest paused.
TEST_F(Save, KilledWhileItWritesToAPipe_GuestRunsAgain) {
  const std::string pipe = dir_ / "pipe";
  ASSERT_EQ(::mkfifo(pipe.c_str(), 0600), 0);
  const UniqueFd reader{::open(pipe.c_str(), O_RDONLY | O_NONBLOCK | O_CLOEXEC)};
  for (const auto& [format, signal] : {std::pair{"elf", SIGKILL},
                                       {"elf", SIGTERM},
                                       {"elf", SIGINT},
                                       {"avml", SIGKILL},
                                       {"avml", SIGTERM},
                                       {"kdump", SIGKILL},
                                       {"kdump", SIGTERM}}) {
    const std::string command =
        fmt::format("exec {} save --pause --format {} {} - >{}", VMEMFS_PROGRAM, format, mount_ / "vm", pipe);
    ChildProcess process{{"sh", "-c", command}, dir_ / "log"};
    ASSERT_TRUE(eventually([&] { return !guest_.running(); }, 30s)) << read_file(dir_ / "log");
    process.signal(signal);
    EXPECT_TRUE(running_soon()) << format << signal;
    EXPECT_EQ(process.wait(30s), 128 + signal) << read_file(dir_ / "log");
  }
}

TEST_F(Save, MaxPause_ResumesTheGuestAndFails) {
  const std::string pipe = dir_ / "pipe";
  ASSERT_EQ(::mkfifo(pipe.c_str(), 0600), 0);
  const UniqueFd reader{::open(pipe.c_str(), O_RDONLY | O_NONBLOCK | O_CLOEXEC)};
  // The thread that writes to the pipe is left behind.
  constexpr std::string_view kSanitizer = "TSAN_OPTIONS=$TSAN_OPTIONS:report_thread_leaks=0";
  const auto result = run({"sh", "-c",
                           fmt::format("{} {} save --pause --max-pause 300ms {} - >{}", kSanitizer,
                                       VMEMFS_PROGRAM, mount_ / "vm", pipe)});
  EXPECT_EQ(result.code, 1);
  EXPECT_THAT(result.text,
              HasSubstr("the guest was paused for 0.3 s and its memory is not read yet, so it was"));
  EXPECT_TRUE(running_soon());
}

TEST_F(Save, VmEndsInTheMiddle_Fails) {
  const std::string pipe = dir_ / "pipe";
  ASSERT_EQ(::mkfifo(pipe.c_str(), 0600), 0);
  const UniqueFd reader{::open(pipe.c_str(), O_RDONLY | O_NONBLOCK | O_CLOEXEC)};
  const std::string command =
      fmt::format("exec {} save --format raw {} - >{}", VMEMFS_PROGRAM, mount_ / "vm", pipe);
  ChildProcess process{{"sh", "-c", command}, dir_ / "log"};
  std::vector<char> part(65536);
  ASSERT_TRUE(eventually([&] { return ::read(reader.get(), part.data(), part.size()) > 0; }, 30s));
  guest_.process().signal(SIGKILL);
  ASSERT_TRUE(eventually([&] { return !exists(mount_ / "vm"); }));
  EXPECT_TRUE(eventually([&] {
    static_cast<void>(::read(reader.get(), part.data(), part.size()));
    return process.wait({}).has_value();
  }));
  EXPECT_EQ(process.wait({}), 1);
  EXPECT_THAT(read_file(dir_ / "log"), HasSubstr("the VM has ended or was detached"));
}

TEST_F(Save, ByName_FindsTheMount) {
  const auto result = save({"no-such-vm-of-any-mount", dir_ / "x"});
  EXPECT_EQ(result.code, 1);
  EXPECT_THAT(result.text, HasSubstr("no mount of vmemfs has a VM 'no-such-vm-of-any-mount'"));
  const std::string name = fmt::format("vm-of-{}", ::getpid());
  const Mount other{{"--vm", name + "=fake:size=8M"}};
  const auto found = save({name, dir_ / "y"});
  EXPECT_EQ(found.code, 0) << found.text;
  const Mount second{{"--vm", name + "=fake:size=8M"}};
  const auto several = save({name, dir_ / "z"});
  EXPECT_EQ(several.code, 1);
  EXPECT_THAT(several.text, HasSubstr("several mounts have a VM"));
  EXPECT_FALSE(exists(dir_ / "z"));
}

} // namespace
} // namespace vmemfs::test
