// SPDX-License-Identifier: MIT
// Compares reading guest memory through the mount with what a user would do instead, in one run:
// the targets take turns within each round, figures are medians over the rounds, and a ratio is the
// median of the ratios within the rounds. Start it with bench/mount/run.
#include "batch.h"
#include "guests.h"
#include "measure.h"
#include "minimal_mount.h"
#include "one_cpu.h"
#include "support/mount.h"

#include <array>
#include <cstdio>
#include <exception>
#include <filesystem>
#include <fmt/format.h>
#include <fstream>
#include <map>
#include <nlohmann/json.hpp>
#include <unistd.h>

namespace vmemfs::bench {
namespace {

constexpr std::uint64_t kMiB = 1 << 20;

struct Settings {
  int rounds = 7;
  std::chrono::milliseconds sample{350};
  bool sizes = true;
  bool only_batch = false;
  bool only_small = false;
  std::string json;
};

struct NamedTarget {
  std::string name;
  MakeTarget make;
  Area area;
  std::chrono::milliseconds at_least{0}; ///< slow ones need longer samples
};

/// All samples of all rounds, by target and pattern.
using Samples = std::map<std::string, std::map<std::string, std::vector<Sample>>>;

/// Start of guest memory that is plain RAM without holes; firmware uses the end of RAM.
Area area_of(std::uint64_t megabytes, std::vector<pid_t> servers) {
  return {16 * kMiB, (megabytes - 16) * kMiB, std::move(servers)};
}

Samples run_rounds(const std::vector<NamedTarget>& targets, const std::vector<Pattern>& wanted,
                   const Settings& settings) {
  Samples samples;
  for (int round = -1; round < settings.rounds; ++round) { // the first one only warms up
    for (const Pattern& pattern : wanted) {
      for (const NamedTarget& target : targets) {
        const Sample sample =
            measure(target.make, pattern, target.area, std::max(settings.sample, target.at_least));
        if (round >= 0) {
          samples[target.name][pattern.name].push_back(sample);
        }
      }
    }
    std::fprintf(stderr, "%s", round < 0 ? "warm" : ".");
  }
  std::fprintf(stderr, "\n");
  return samples;
}

double median_of(const std::vector<Sample>& samples, double Sample::*field) {
  std::vector<double> values;
  for (const Sample& sample : samples) {
    values.push_back(sample.*field);
  }
  return median(std::move(values));
}

/// Median of the ratios a/b within the rounds.
double ratio_of(const std::vector<Sample>& a, const std::vector<Sample>& b, double Sample::*field) {
  std::vector<double> ratios;
  for (std::size_t i = 0; i < a.size(); ++i) {
    ratios.push_back(a[i].*field / (b[i].*field));
  }
  return median(std::move(ratios));
}

std::string cell(const Pattern& pattern, const std::vector<Sample>& samples) {
  if (pattern.latency) {
    return fmt::format("{:.1f} / {:.1f} us", median_of(samples, &Sample::p50_us),
                       median_of(samples, &Sample::p99_us));
  }
  if (pattern.random) {
    return fmt::format("{:.0f} k/s", median_of(samples, &Sample::reads_per_second) / 1e3);
  }
  const double rate = median_of(samples, &Sample::bytes_per_second);
  return rate >= 1e9 ? fmt::format("{:.1f} GB/s", rate / 1e9) : fmt::format("{:.0f} MB/s", rate / 1e6);
}

void print_table(const std::vector<NamedTarget>& targets, const Samples& samples) {
  std::string head = "| target |";
  std::string rule = "|---|";
  for (const Pattern& pattern : patterns()) {
    head += fmt::format(" {} |", pattern.latency ? "8 bytes p50 / p99" : pattern.name);
    rule += "---|";
  }
  fmt::print("{} CPU s/GB at 1M |\n{}---|\n", head, rule);
  for (const NamedTarget& target : targets) {
    std::string row = fmt::format("| {} |", target.name);
    for (const Pattern& pattern : patterns()) {
      row += fmt::format(" {} |", cell(pattern, samples.at(target.name).at(pattern.name)));
    }
    fmt::print("{} {:.2f} |\n", row,
               median_of(samples.at(target.name).at("seq 1M"), &Sample::cpu_seconds_per_gb));
  }
}

nlohmann::ordered_json to_json(const Samples& samples) {
  nlohmann::ordered_json json;
  for (const auto& [target, by_pattern] : samples) {
    for (const auto& [pattern, list] : by_pattern) {
      json[target][pattern] = {{"bytes_per_second", median_of(list, &Sample::bytes_per_second)},
                               {"reads_per_second", median_of(list, &Sample::reads_per_second)},
                               {"cpu_seconds_per_gb", median_of(list, &Sample::cpu_seconds_per_gb)},
                               {"p50_us", median_of(list, &Sample::p50_us)},
                               {"p99_us", median_of(list, &Sample::p99_us)}};
    }
  }
  return json;
}

constexpr const char* kRamFile = "RAM file itself";
constexpr const char* kReadv = "process_vm_readv, 4 KiB pages";
constexpr const char* kReadvHuge = "process_vm_readv, huge pages";
constexpr const char* kShared = "vmemfs, shared RAM";
constexpr const char* kBlock = "vmemfs, shared RAM by ram/NAME";
/// Paused, and all of it read before: the kernel's page cache has it.
constexpr const char* kSharedKept = "vmemfs, shared RAM, paused and read before";
constexpr const char* kPrivateKept = "vmemfs, private RAM, paused and read before";
constexpr const char* kPrivate = "vmemfs, private RAM, 4 KiB pages";
/// As for a running guest: nothing is prefetched.
constexpr const char* kPrivateLive = "vmemfs, private RAM, 4 KiB pages, cache off";
constexpr const char* kPrivateHuge = "vmemfs, private RAM, huge pages";
constexpr const char* kNull = "vmemfs, null server (fake guest)";
/// Without any memory to fetch, over the file of the shared guest's RAM, and over the private guest's
/// process.
constexpr const char* kMinimal = "minimal FUSE server";
constexpr const char* kMinimalShared = "minimal FUSE server, shared RAM mapped";
constexpr const char* kMinimalPrivate = "minimal FUSE server, private RAM, 4 KiB pages";
constexpr const char* kPmemsave = "QMP pmemsave";

/// The minimal server over the same memory.
const char* minimal_of(const std::string& target) {
  if (target == kShared) {
    return kMinimalShared;
  }
  return target == kPrivate || target == kPrivateLive ? kMinimalPrivate : kMinimal;
}

struct Ratio {
  std::string what;
  double value;
  std::string goal;
};

/// Throughput of the mount relative to its two parts in sequence: the system call that fetches the bytes,
/// and a FUSE reply that needs no fetch. Median over the rounds.
double share_of_parts(const Samples& samples, const char* mount, const char* fetch) {
  const auto& whole = samples.at(mount).at("seq 1M");
  const auto& fetches = samples.at(fetch).at("seq 1M");
  const auto& replies = samples.at(kNull).at("seq 1M");
  std::vector<double> shares;
  for (std::size_t i = 0; i < whole.size(); ++i) {
    shares.push_back(whole[i].bytes_per_second *
                     (1 / fetches[i].bytes_per_second + 1 / replies[i].bytes_per_second));
  }
  return median(std::move(shares));
}

std::vector<Ratio> ratios(const Samples& samples) {
  const auto speed = [&](const char* a, const char* b) {
    return ratio_of(samples.at(a).at("seq 1M"), samples.at(b).at("seq 1M"), &Sample::bytes_per_second);
  };
  const auto of = [&](const char* a, const char* b, const char* pattern, double Sample::*field) {
    return ratio_of(samples.at(a).at(pattern), samples.at(b).at(pattern), field);
  };
  const auto latency = [&](const char* a) { return of(a, minimal_of(a), "8 bytes", &Sample::p50_us); };
  const auto cpu_share = [&](const char* a) {
    return ratio_of(samples.at(a).at("seq 1M"), samples.at(kRamFile).at("seq 1M"),
                    &Sample::cpu_seconds_per_gb);
  };
  return {
      {"shared guest / RAM file itself, seq 1M", speed(kShared, kRamFile), ""},
      {"ram/NAME of it / RAM file itself, seq 1M", speed(kBlock, kRamFile), ">= 0.95"},
      {"the same, rand 4K x1", of(kBlock, kRamFile, "rand 4K x1", &Sample::reads_per_second), ">= 0.90"},
      {"the same, 8 bytes p50", of(kBlock, kRamFile, "8 bytes", &Sample::p50_us), "<= 1.5"},
      {"shared guest, paused and read before / RAM file itself, seq 1M", speed(kSharedKept, kRamFile),
       ">= 0.95"},
      {"the same, rand 4K x1", of(kSharedKept, kRamFile, "rand 4K x1", &Sample::reads_per_second), ">= 0.90"},
      {"the same, 8 bytes p50", of(kSharedKept, kRamFile, "8 bytes", &Sample::p50_us), "<= 1.5"},
      {"private guest, paused and read before / RAM file itself, seq 1M", speed(kPrivateKept, kRamFile),
       ">= 0.95"},
      {"the same, rand 4K x1", of(kPrivateKept, kRamFile, "rand 4K x1", &Sample::reads_per_second),
       ">= 0.90"},
      {"the same, 8 bytes p50", of(kPrivateKept, kRamFile, "8 bytes", &Sample::p50_us), "<= 1.5"},
      {"private guest / process_vm_readv, 4 KiB pages, seq 1M", speed(kPrivate, kReadv), ""},
      {"the same, cache off (as while it runs)", speed(kPrivateLive, kReadv), ">= 0.66"},
      {"private guest / process_vm_readv, huge pages, seq 1M", speed(kPrivateHuge, kReadvHuge), ""},
      {"private guest / process_vm_readv and null server in turn, 4 KiB pages, seq 1M",
       share_of_parts(samples, kPrivate, kReadv), ""},
      {"the same, cache off", share_of_parts(samples, kPrivateLive, kReadv), ""},
      {"shared guest / QMP pmemsave, seq 1M", speed(kShared, kPmemsave), ""},
      {"private guest / QMP pmemsave, seq 1M", speed(kPrivate, kPmemsave), ""},
      {"8 bytes p50, shared guest / minimal server over it", latency(kShared), "<= 1.15"},
      {"8 bytes p50, private guest, cache off / minimal server over it", latency(kPrivateLive), "<= 1.15"},
      {"8 bytes p50, null server / minimal server", latency(kNull), ""},
      {"rand 4K x1, shared guest / minimal server over it",
       of(kShared, kMinimalShared, "rand 4K x1", &Sample::reads_per_second), ">= 0.90"},
      {"rand 4K x1, private guest, cache off / minimal server over it",
       of(kPrivateLive, kMinimalPrivate, "rand 4K x1", &Sample::reads_per_second), ">= 0.90"},
      {"seq 4K, shared guest / minimal server over it",
       of(kShared, kMinimalShared, "seq 4K", &Sample::bytes_per_second), ">= 0.90"},
      {"seq 4K, private guest, cache off / minimal server over it",
       of(kPrivateLive, kMinimalPrivate, "seq 4K", &Sample::bytes_per_second), ">= 0.90"},
      {"CPU, minimal server / RAM file itself, seq 1M", cpu_share(kMinimal), ""},
      {"CPU, shared guest / RAM file itself, seq 1M", cpu_share(kShared), "<= 1.5"},
      {"CPU, private guest, 4 KiB pages / RAM file itself, seq 1M", cpu_share(kPrivate), "<= 1.5"},
  };
}

struct SmallFigure {
  std::string name;
  std::string pattern;
  double Sample::*field;
};

/// Their medians, and their ratios to the minimal server over the same memory and to the one over none.
nlohmann::ordered_json print_small(const std::vector<NamedTarget>& targets, const Samples& samples,
                                   const std::string& where) {
  const std::vector<SmallFigure> figures{{"random 4 KiB, k/s", "rand 4K x1", &Sample::reads_per_second},
                                         {"8 bytes p50, us", "8 bytes", &Sample::p50_us},
                                         {"8 bytes p99, us", "8 bytes", &Sample::p99_us},
                                         {"8 bytes mean, us", "8 bytes", &Sample::mean_us}};
  std::string head = fmt::format("\n| {} |", where);
  std::string rule = "|---|";
  for (const SmallFigure& figure : figures) {
    head += fmt::format(" {} | of the same, of none |", figure.name);
    rule += "---|---|";
  }
  fmt::print("{}\n{}\n", head, rule);
  nlohmann::ordered_json json{{"targets", to_json(samples)}};
  for (const NamedTarget& target : targets) {
    std::string row = fmt::format("| {} |", target.name);
    for (const SmallFigure& figure : figures) {
      const auto& own = samples.at(target.name).at(figure.pattern);
      const auto ratio = [&](const char* minimal) {
        const double value = ratio_of(own, samples.at(minimal).at(figure.pattern), figure.field);
        json["ratios"][target.name][figure.name][minimal] = value;
        return value;
      };
      const double value = median_of(own, figure.field);
      row += fmt::format(" {:.1f} | {:.2f}, {:.2f} |",
                         figure.field == &Sample::reads_per_second ? value / 1e3 : value,
                         ratio(minimal_of(target.name)), ratio(kMinimal));
    }
    fmt::print("{}\n", row);
  }
  return json;
}

/// Small reads as of a running guest, beside those of minimal servers. How long one takes depends on where
/// the scheduler has put reader and server, which lasts for a while: hence many short rounds, and the same
/// again where it has no choice.
nlohmann::ordered_json compare_small(const std::vector<NamedTarget>& targets, Settings settings) {
  settings.rounds = 4 * settings.rounds + 1;
  settings.sample = std::chrono::milliseconds{300};
  std::vector<NamedTarget> wanted;
  std::vector<pid_t> servers;
  for (const NamedTarget& target : targets) {
    if (std::ranges::count(
            std::array{kShared, kMinimalShared, kPrivateLive, kMinimalPrivate, kNull, kMinimal},
            target.name) != 0) {
      wanted.push_back(target);
      servers.insert(servers.end(), target.area.servers.begin(), target.area.servers.end());
    }
  }
  std::vector<Pattern> small;
  std::ranges::copy_if(patterns(), std::back_inserter(small),
                       [](const Pattern& pattern) { return pattern.random && pattern.readers == 1; });
  fmt::print("\nsmall reads, medians of {} rounds of {} ms; ratios to the minimal server over the same "
             "memory, and to the one over none\n",
             settings.rounds, settings.sample.count());
  nlohmann::ordered_json json;
  json["any CPU"] = print_small(wanted, run_rounds(wanted, small, settings), "on any CPU");
  const OneCpu one_cpu{servers};
  json["one CPU"] = print_small(wanted, run_rounds(wanted, small, settings), "reader and server on one CPU");
  return json;
}

/// Scattered reads by `batch` and by preads. `natives`: of the names of the VMs, see compare_batch().
nlohmann::ordered_json compare_batches(const test::Mount& mount,
                                       const std::map<std::string, MakeTarget>& natives, const Area& area,
                                       int rounds) {
  fmt::print("\n| {} random ranges | preads in turn | batch | batch, same ranges again | preads / batch | "
             "native reads in turn | native / batch |\n"
             "|---|---|---|---|---|---|---|\n",
             kBatchRanges);
  nlohmann::ordered_json json;
  for (const std::size_t length : {4096U, 8U}) {
    for (const auto& [vm, name] : {std::pair{"shared", kShared}, std::pair{"small", kPrivate},
                                   std::pair{"huge", kPrivateHuge}, std::pair{"null", kNull}}) {
      const auto native = natives.find(vm);
      const BatchFigures figures = compare_batch(
          mount / vm, native != natives.end() ? native->second : MakeTarget{}, area, length, rounds);
      fmt::print("| {} bytes: {} | {:.2f} ms | {:.2f} ms | {:.2f} ms | {:.1f} |{}\n", length, name,
                 figures.preads_us / 1e3, figures.batch_us / 1e3, figures.poll_us / 1e3, figures.ratio,
                 native != natives.end()
                     ? fmt::format(" {:.2f} ms | {:.2f} |", figures.native_us / 1e3, figures.native_ratio)
                     : "  |  |");
      json[fmt::format("{} bytes", length)][name] = {
          {"preads_us", figures.preads_us}, {"batch_us", figures.batch_us},
          {"poll_us", figures.poll_us},     {"ratio", figures.ratio},
          {"native_us", figures.native_us}, {"native_ratio", figures.native_ratio}};
    }
  }
  return json;
}

/// Has the kernel keep all memory of a paused VM.
void read_once(const test::Mount& mount, const std::string& vm) {
  const auto paused = [&] { return test::read_file(mount / (vm + "/control")).starts_with("state paused"); };
  if (!test::eventually(paused)) {
    throw std::runtime_error{vm + " is not known to be paused"};
  }
  if (test::run({"dd", "if=" + (mount / (vm + "/mem")), "of=/dev/null", "bs=1M", "status=none"}).code != 0) {
    throw std::runtime_error{"cannot read " + vm};
  }
}

/// The comparison of all ways, on guests of 2 GiB.
nlohmann::ordered_json compare_ways(const Settings& settings) {
  constexpr std::uint64_t kMegabytes = 2048;
  SharedGuest shared{kMegabytes};
  const auto small = private_guest(kMegabytes, true);
  const auto huge = private_guest(kMegabytes, false);
  test::Mount mount{{"--vm", fmt::format("shared=qemu:pid={}", shared.guest().pid()), "--vm",
                     fmt::format("small=qemu:pid={}", small->pid()), "--vm",
                     fmt::format("live=qemu:pid={}", small->pid()), "--vm",
                     fmt::format("huge=qemu:pid={}", huge->pid()), "--vm",
                     fmt::format("kept=qemu:pid={},cache_kernel=on", small->pid()), "--vm",
                     fmt::format("kept_shared=qemu:pid={},cache_kernel=on", shared.guest().pid()), "--vm",
                     fmt::format("null=fake:size={}M,pattern=zero", kMegabytes)}};
  std::ofstream{mount / "live/control"} << "cache off\n";
  const MinimalMount minimal;
  const MinimalMount minimal_shared{{SharedGuest::path()}};
  const MinimalMount minimal_private{
      {std::to_string(small->pid()), fmt::format("{:#x}", hva_of_ram(*small))}};
  const pid_t daemon = mount.daemon().pid();
  const auto file = [](std::string path) -> MakeTarget {
    return [path = std::move(path)] { return std::make_unique<FileTarget>(path); };
  };
  for (const std::string vm : {"kept", "kept_shared"}) {
    read_once(mount, vm);
  }
  const auto process = [](test::QemuGuest& guest) -> MakeTarget {
    return [pid = guest.pid(), hva = hva_of_ram(guest)] { return std::make_unique<ProcessTarget>(pid, hva); };
  };
  const std::string saved = fmt::format("/dev/shm/vmemfs-bench-saved-{}", ::getpid());
  const std::vector<NamedTarget> targets{
      {kRamFile, file(SharedGuest::path()), area_of(kMegabytes, {})},
      {kReadv, process(*small), area_of(kMegabytes, {})},
      {kReadvHuge, process(*huge), area_of(kMegabytes, {})},
      {kShared, file(mount / "shared/mem"), area_of(kMegabytes, {daemon})},
      {kBlock, file(mount / "shared/ram/m0"), area_of(kMegabytes, {daemon})},
      {kSharedKept, file(mount / "kept_shared/mem"), area_of(kMegabytes, {daemon})},
      {kPrivateKept, file(mount / "kept/mem"), area_of(kMegabytes, {daemon})},
      {kPrivate, file(mount / "small/mem"), area_of(kMegabytes, {daemon})},
      {kPrivateLive, file(mount / "live/mem"), area_of(kMegabytes, {daemon})},
      {kPrivateHuge, file(mount / "huge/mem"), area_of(kMegabytes, {daemon})},
      {kNull, file(mount / "null/mem"), area_of(kMegabytes, {daemon})},
      {kMinimal, file(minimal.file()), area_of(kMegabytes, {minimal.pid()})},
      {kMinimalShared, file(minimal_shared.file()), area_of(kMegabytes, {minimal_shared.pid()})},
      {kMinimalPrivate, file(minimal_private.file()), area_of(kMegabytes, {minimal_private.pid()})},
      {kPmemsave, [&] { return std::make_unique<PmemsaveTarget>(small->monitor(), saved); },
       area_of(kMegabytes, {small->pid()})},
  };
  const std::map<std::string, MakeTarget> natives{
      {"shared", file(SharedGuest::path())}, {"small", process(*small)}, {"huge", process(*huge)}};
  const auto batches = [&] {
    return compare_batches(mount, natives, area_of(kMegabytes, {daemon}), settings.rounds);
  };
  if (settings.only_batch) {
    return {{"batch", batches()}};
  }
  if (settings.only_small) {
    return {{"small", compare_small(targets, settings)}};
  }
  const Samples samples = run_rounds(targets, patterns(), settings);

  fmt::print("\n2 GiB guests, all RAM touched, paused; medians of {} rounds\n\n", settings.rounds);
  print_table(targets, samples);
  fmt::print("\n| figure | value | goal |\n|---|---|---|\n");
  nlohmann::ordered_json json{{"targets", to_json(samples)}};
  for (const Ratio& ratio : ratios(samples)) {
    fmt::print("| {} | {:.2f} | {} |\n", ratio.what, ratio.value, ratio.goal);
    json["ratios"][ratio.what] = ratio.value;
  }
  json["small"] = compare_small(targets, settings);
  json["batch"] = batches();
  return json;
}

/// Throughput by guest size, relative to the RAM file.
nlohmann::ordered_json compare_sizes(const Settings& settings) {
  fmt::print("\n| guest | RAM file, seq 1M | shared, seq 1M | ratio | private, seq 1M | shared, rand 4K | "
             "private, rand 4K |\n"
             "|---|---|---|---|---|---|---|\n");
  std::vector<Pattern> wanted;
  std::ranges::copy_if(patterns(), std::back_inserter(wanted), [](const Pattern& pattern) {
    return pattern.name == "seq 1M" || pattern.name == "rand 4K x1";
  });
  nlohmann::ordered_json json;
  for (const std::uint64_t megabytes : {256U, 1024U, 3072U, 8192U}) {
    SharedGuest shared{megabytes};
    const auto private_qemu = private_guest(megabytes, true);
    test::Mount mount{{"--vm", fmt::format("shared=qemu:pid={}", shared.guest().pid()), "--vm",
                       fmt::format("private=qemu:pid={}", private_qemu->pid())}};
    // Above 3 GiB, offsets in the RAM file and guest physical addresses differ: stay below.
    const std::uint64_t readable = std::min<std::uint64_t>(megabytes, 3072);
    const auto file = [](std::string path) -> MakeTarget {
      return [path = std::move(path)] { return std::make_unique<FileTarget>(path); };
    };
    const std::vector<pid_t> daemon{mount.daemon().pid()};
    const std::vector<NamedTarget> targets{
        {"file", file(SharedGuest::path()), area_of(readable, {})},
        {"shared", file(mount / "shared/mem"), area_of(readable, daemon)},
        {"private", file(mount / "private/mem"), area_of(readable, daemon)}};
    const Samples samples = run_rounds(targets, wanted, settings);
    const auto& seq = wanted.front();
    const auto& random = wanted.back();
    const double ratio = ratio_of(samples.at("shared").at(seq.name), samples.at("file").at(seq.name),
                                  &Sample::bytes_per_second);
    fmt::print("| {} MiB | {} | {} | {:.2f} | {} | {} | {} |\n", megabytes,
               cell(seq, samples.at("file").at(seq.name)), cell(seq, samples.at("shared").at(seq.name)),
               ratio, cell(seq, samples.at("private").at(seq.name)),
               cell(random, samples.at("shared").at(random.name)),
               cell(random, samples.at("private").at(random.name)));
    std::fflush(stdout);
    json[fmt::format("{}M", megabytes)] = to_json(samples);
  }
  return json;
}

Settings parse(int argc, char** argv) {
  Settings settings;
  for (int i = 1; i < argc; ++i) {
    const std::string arg = argv[i];
    if (arg == "--quick") {
      settings.rounds = 3;
      settings.sample = std::chrono::milliseconds{150};
    } else if (arg == "--no-sizes") {
      settings.sizes = false;
    } else if (arg == "--only-batch") {
      settings.only_batch = true;
      settings.sizes = false;
    } else if (arg == "--only-small") {
      settings.only_small = true;
      settings.sizes = false;
    } else if (arg == "--json" && i + 1 < argc) {
      settings.json = argv[++i];
    } else {
      throw std::runtime_error{
          "usage: mount_bench [--quick] [--no-sizes] [--only-batch | --only-small] [--json FILE]"};
    }
  }
  return settings;
}

void run(const Settings& settings) {
  nlohmann::ordered_json json{{"ways", compare_ways(settings)}};
  if (settings.sizes) {
    json["sizes"] = compare_sizes(settings);
  }
  if (!settings.json.empty()) {
    constexpr int kIndent = 1;
    std::ofstream{settings.json} << json.dump(kIndent) << '\n';
  }
}

} // namespace
} // namespace vmemfs::bench

int main(int argc, char** argv) try {
  vmemfs::bench::run(vmemfs::bench::parse(argc, argv));
} catch (const std::exception& exception) {
  std::fprintf(stderr, "mount_bench: %s\n", exception.what());
  return 1;
}
