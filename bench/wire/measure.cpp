// SPDX-License-Identifier: MIT
// wire_measure [--rounds N] [--only KIND] | --hold KIND/WAY MIB [IMAGE]: round trips and speed of reads
// through a mount of each source that is a millisecond away. --hold mounts one, with an image as its memory,
// prints the mount's directory, and waits until its standard input ends, so that any program can be measured.
#include "support/files.h"
#include "support/mount.h"
#include "util/unique_fd.h"
#include "wire/source.h"

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <fcntl.h>
#include <fmt/format.h>
#include <map>
#include <optional>
#include <span>
#include <stdexcept>
#include <string>
#include <string_view>
#include <unistd.h>
#include <utility>
#include <vector>

namespace vmemfs::bench {

std::vector<SourceKind> source_kinds() {
  return {gdbstub_source(), kvmi_source(), pmemaccess_source(), leechcore_source()};
}

namespace {

using Clock = std::chrono::steady_clock;

constexpr std::uint64_t kMebibyte = std::uint64_t{1} << 20U;
constexpr std::uint64_t kBegin = 16 * kMebibyte;
constexpr std::uint64_t kMemory = 128; ///< MiB
constexpr std::uint64_t kMaxSequential = 32 * kMebibyte;
constexpr std::chrono::seconds kMaxTime{2}; ///< of one sequential measurement
constexpr std::size_t kRandomReads = 100;
constexpr std::size_t kPage = 4096;
constexpr std::size_t kSizes[] = {std::size_t{1} << 20U, std::size_t{64} << 10U, kPage};

/// A mount of a source.
class Mounted {
public:
  Mounted(const SourceKind& kind, const Way& way, const Memory& memory) : source_{kind.make(memory)} {
    std::vector<std::string> args{"--cache-size", fmt::format("{}M", 2 * memory.mebibytes), "--vm",
                                  "vm=" + source_->vm() + way.params};
    args.insert(args.end(), way.options.begin(), way.options.end());
    mount_.emplace(args);
    for (const std::string& command : way.commands) {
      write(command);
    }
    static_cast<void>(test::read_file(*mount_ / "vm/control")); // the state is known from here on
    memory_ = UniqueFd{::open((*mount_ / "vm/mem").c_str(), O_RDONLY | O_CLOEXEC)};
  }

  void flush() { write("flush"); }
  [[nodiscard]] std::string path() const { return mount_->path(); }
  [[nodiscard]] std::uint64_t round_trips() { return source_->round_trips(); }
  void read(std::uint64_t at, std::span<char> into) const {
    if (::pread(memory_.get(), into.data(), into.size(), static_cast<off_t>(at)) !=
        static_cast<ssize_t>(into.size())) {
      throw std::runtime_error{fmt::format("cannot read {:#x}: {}", at, mount_->log())};
    }
  }

private:
  void write(const std::string& command) const {
    if (const int error = test::try_write(*mount_ / "vm/control", command + "\n"); error != 0) {
      throw std::runtime_error{fmt::format("{}: errno {}: {}", command, error, mount_->log())};
    }
  }

  std::unique_ptr<Source> source_;
  std::optional<test::Mount> mount_;
  UniqueFd memory_;
};

struct Figure {
  double trips;
  double speed; ///< MB/s, or milliseconds of a read
};

Figure sequential(Mounted& mounted, std::size_t size) {
  // Page-aligned: the kernel splits an unaligned read of 1 MiB in two.
  const std::unique_ptr<char, decltype(&std::free)> memory{
      static_cast<char*>(std::aligned_alloc(kPage, size)), &std::free};
  mounted.flush();
  const auto before = mounted.round_trips();
  const auto begin = Clock::now();
  std::uint64_t done = 0;
  for (; done < kMaxSequential && Clock::now() - begin < kMaxTime; done += size) {
    mounted.read(kBegin + done, {memory.get(), size});
  }
  const std::chrono::duration<double> took = Clock::now() - begin;
  const auto bytes = static_cast<double>(done);
  return {static_cast<double>(mounted.round_trips() - before) / (bytes / kMebibyte),
          bytes / 1e6 / took.count()};
}

Figure random(Mounted& mounted) {
  mounted.flush();
  std::vector<char> page(kPage);
  std::vector<double> times;
  const auto before = mounted.round_trips();
  for (std::size_t i = 0; i < kRandomReads; ++i) {
    const auto begin = Clock::now();
    mounted.read(kBegin + (i * 7919 % 16000) * kPage, page);
    times.push_back(std::chrono::duration<double, std::milli>{Clock::now() - begin}.count());
  }
  std::ranges::sort(times);
  return {static_cast<double>(mounted.round_trips() - before) / kRandomReads, times[times.size() / 2]};
}

/// All figures of one mount, in the order of the columns.
std::vector<Figure> measure(const SourceKind& kind, const Way& way) {
  Mounted mounted{kind, way, {kMemory}};
  std::vector<Figure> figures;
  for (const std::size_t size : kSizes) {
    figures.push_back(sequential(mounted, size));
  }
  figures.push_back(random(mounted));
  return figures;
}

double median(std::vector<double> values) {
  std::ranges::sort(values);
  return values[values.size() / 2];
}

void print_row(const std::string& source, const std::string& way,
               const std::vector<std::vector<Figure>>& rounds) {
  std::string trips;
  std::string speeds;
  for (std::size_t column = 0; column < rounds.front().size(); ++column) {
    std::vector<double> counted;
    std::vector<double> measured;
    for (const auto& round : rounds) {
      counted.push_back(round[column].trips);
      measured.push_back(round[column].speed);
    }
    const bool is_random = column + 1 == rounds.front().size();
    trips += fmt::format(" {:.1f} |", median(counted));
    speeds += is_random ? fmt::format(" {:.2f} ms |", median(measured))
                        : fmt::format(" {:.1f} |", median(measured));
  }
  fmt::print("| {} | {} |{}{}\n", source, way, trips, speeds);
  static_cast<void>(std::fflush(stdout));
}

/// How near a way comes to a client that only asks.
void print_limit(const std::string& source, const std::string& way,
                 const std::vector<std::vector<Figure>>& rounds, const std::vector<double>& limits) {
  std::vector<double> ratios;
  for (std::size_t round = 0; round < rounds.size(); ++round) {
    ratios.push_back(rounds[round].front().speed / limits[round]);
  }
  fmt::print("{}, {}: 1M at {:.2f} of the speed of a client that drops what it gets ({:.1f} MB/s)\n", source,
             way, median(ratios), median(limits));
}

void print_table(int rounds, std::string_view only) {
  fmt::print("| source | | trips/MiB 1M | 64K | 4K | trips a random 4K | MB/s 1M | 64K | 4K | random 4K |\n"
             "|---|---|---|---|---|---|---|---|---|---|\n");
  auto kinds = source_kinds();
  std::erase_if(kinds, [&](const SourceKind& kind) { return !kind.name.starts_with(only); });
  std::map<std::pair<std::string, std::string>, std::vector<std::vector<Figure>>> figures;
  std::map<std::string, std::vector<double>> limits;
  for (int round = 0; round < rounds; ++round) { // in turns, so that a disturbance hits all
    for (const SourceKind& kind : kinds) {
      for (const Way& way : kind.ways) {
        figures[{kind.name, way.name}].push_back(measure(kind, way));
      }
      if (kind.limit) {
        limits[kind.name].push_back(kind.limit());
      }
    }
  }
  for (const SourceKind& kind : kinds) {
    for (const Way& way : kind.ways) {
      print_row(kind.name, way.name, figures[{kind.name, way.name}]);
    }
  }
  for (const auto& [name, speeds] : limits) {
    for (const Way& way : std::ranges::find(kinds, name, &SourceKind::name)->ways) {
      print_limit(name, way.name, figures[{name, way.name}], speeds);
    }
  }
}

void hold(std::string_view name, const Memory& memory) {
  for (const SourceKind& kind : source_kinds()) {
    for (const Way& way : kind.ways) {
      if (name == fmt::format("{}/{}", kind.name, way.name)) {
        const Mounted mounted{kind, way, memory};
        fmt::print("{}\n", mounted.path());
        static_cast<void>(std::fflush(stdout));
        while (std::getchar() != EOF) {
        }
        return;
      }
    }
  }
  throw std::runtime_error{fmt::format("there is no '{}'", name)};
}

} // namespace
} // namespace vmemfs::bench

int main(int argc, char** argv) try {
  const std::vector<std::string> args{argv + 1, argv + argc};
  if ((args.size() == 3 || args.size() == 4) && args[0] == "--hold") {
    vmemfs::bench::hold(args[1],
                        {std::strtoull(args[2].c_str(), nullptr, 10), args.size() == 4 ? args[3] : ""});
    return 0;
  }
  int rounds = 3;
  std::string only;
  for (std::size_t i = 0; i < args.size(); i += 2) {
    if (i + 1 < args.size() && args[i] == "--rounds") {
      rounds = std::max(1, std::atoi(args[i + 1].c_str()));
    } else if (i + 1 < args.size() && args[i] == "--only") {
      only = args[i + 1];
    } else {
      std::fputs("usage: wire_measure [--rounds N] [--only KIND] | --hold KIND/WAY MIB [IMAGE]\n", stderr);
      return 2;
    }
  }
  vmemfs::bench::print_table(rounds, only);
  return 0;
} catch (const std::exception& exception) {
  std::fprintf(stderr, "wire_measure: %s\n", exception.what());
  return 1;
}
