// SPDX-License-Identifier: MIT
// soak HOURS LOG [PACE]: the mount for hours under VMs that come, go, hang, lie and answer slowly, and under
// readers of everything. Started by scripts/soak, in namespaces of its own.
//
//   HOURS   how long, such as 2 or 0.05
//   LOG     a file of comma-separated values, a line a minute
//   PACE    milliseconds between two changes of a kind of VMs; default 1000
//
// Every ten minutes (in a short soak four times in all) all VMs end but one; what the daemon takes then must
// not grow. Ends with 1 if it does, or if anything was wrong.
#include "soak/faults.h"
#include "soak/figures.h"
#include "soak/healthy_vm.h"
#include "soak/mount_users.h"
#include "soak/population.h"
#include "stress/mount_readers.h"
#include "support/mount.h"

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <filesystem>
#include <fmt/format.h>
#include <fstream>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace vmemfs::test {
namespace {

using Clock = std::chrono::steady_clock;
using namespace std::chrono_literals;

struct Settings {
  std::chrono::seconds time;
  std::string log;
  std::chrono::milliseconds pace{1000};

  /// Time between two quiet points.
  [[nodiscard]] std::chrono::seconds quiet_every() const {
    return std::clamp<std::chrono::seconds>(time / 4, 20s, 10min);
  }
  [[nodiscard]] std::chrono::seconds line_every() const {
    return std::min<std::chrono::seconds>(time / 6, 1min);
  }
};

/// The daemon, the process that unmounts, and the guardian.
struct Sample {
  ProcessFigures daemon;
  ProcessFigures mounter;
  ProcessFigures guardian;

  [[nodiscard]] std::uint64_t rss_kib() const { return daemon.rss_kib + mounter.rss_kib + guardian.rss_kib; }
};

class Soak {
public:
  explicit Soak(Settings settings)
      : settings_{std::move(settings)}, healthy_{faults_},
        mount_{std::make_unique<Mount>(std::vector<std::string>{"--vm", healthy_.spec()}, Discover::on)},
        population_{mount_->path(), healthy_.monitor(), settings_.pace, faults_}, log_{settings_.log} {}

  /// 0, or 1 if anything was wrong.
  int run() {
    line("phase,seconds,vms,come,hung,lied,reads,faults,daemon_rss_kib,mounter_rss_kib,guardian_rss_kib,"
         "descriptors,threads,daemon_cpu_percent,ls_median_us,ls_max_us,read_median_us,read_max_us");
    pause_once();
    healthy_.start(mount_->path());
    while (Clock::now() - begin_ < settings_.time && !has_ended(mount_->daemon().pid())) {
      busy(std::min(begin_ + settings_.time, Clock::now() + settings_.quiet_every()));
      quiet();
    }
    healthy_.stop();
    expect_flat();
    end();
    return verdict();
  }

private:
  void line(const std::string& text) {
    log_ << text << std::endl;
    fmt::print("{}\n", text);
    std::fflush(stdout);
  }

  /// Starts the guardian.
  void pause_once() {
    if (try_write(*mount_ / HealthyVm::kName + "/control", "pause ttl=100ms\n") != 0) {
      faults_.add("the healthy VM is not paused");
    }
  }

  void busy(Clock::time_point end) {
    MountReaders readers{mount_->path(),
                         {.threads = 4, .pace = 15ms, .also_fair = {EOPNOTSUPP, EIO, EBUSY, ETIMEDOUT}}};
    MountUsers users{mount_->path(), 250ms, faults_};
    population_.start();
    while (Clock::now() < end && !has_ended(mount_->daemon().pid())) {
      const auto next = std::min(end, Clock::now() + settings_.line_every());
      std::this_thread::sleep_until(next);
      note("busy", reads_ + reads_of(readers) + users.done());
    }
    population_.freeze();
    users.stop();
    readers.stop();
    reads_ += reads_of(readers) + users.done();
    for (const std::string& what : readers.unfair()) {
      faults_.add("a reader got " + what);
    }
  }

  static std::uint64_t reads_of(const MountReaders& readers) {
    std::uint64_t sum = 0;
    for (const auto& [outcome, count] : readers.outcomes()) {
      sum += count;
    }
    return sum;
  }

  /// No VM but the healthy one: what is the daemon's then is its own.
  void quiet() {
    std::this_thread::sleep_for(4s); // the longest pause that MountUsers asks for ends
    population_.expect_none_paused();
    population_.end_all();
    if (!eventually([&] { return vms() == std::vector<std::string>{HealthyVm::kName}; }, 60s)) {
      faults_.add(fmt::format("VMs that have ended stay in the mount: {}", fmt::join(vms(), ", ")));
    }
    if (!eventually([&] { return healthy_.is_running(); }, 5s)) {
      faults_.add("the healthy VM was left paused");
    }
    std::this_thread::sleep_for(6s); // idle threads end
    if (!eventually([] { return zombies().empty(); }, 3s)) {
      faults_.add(fmt::format("not waited for: {}", fmt::join(zombies(), ", ")));
    }
    quiet_.push_back(note("quiet", reads_));
  }

  [[nodiscard]] std::vector<std::string> vms() const {
    std::vector<std::string> names;
    std::error_code error;
    for (std::filesystem::directory_iterator entry{mount_->path(), error}, end; !error && entry != end;
         entry.increment(error)) {
      if (entry->path().filename() != ".vmemfs") {
        names.push_back(entry->path().filename());
      }
    }
    return names;
  }

  [[nodiscard]] Sample sample() const {
    const pid_t daemon = mount_->daemon().pid();
    const auto child = [&](const char* name) {
      const auto found = children_of(daemon, name);
      return found.empty() ? ProcessFigures{} : figures_of(found.front());
    };
    return {figures_of(daemon), child("vmemfs-mount"), child("vmemfs-guardian")};
  }

  Sample note(const char* phase, std::uint64_t reads) {
    const Sample now = sample();
    const auto time = Clock::now();
    const std::chrono::duration<double> since = time - last_time_;
    const double cpu = 100 * (now.daemon.cpu_seconds - last_cpu_) / since.count();
    last_time_ = time;
    last_cpu_ = now.daemon.cpu_seconds;
    const auto latencies = healthy_.latencies();
    line(fmt::format("{},{},{},{},{},{},{},{},{},{},{},{},{},{:.1f},{},{},{},{}", phase,
                     std::chrono::duration_cast<std::chrono::seconds>(time - begin_).count(), vms().size(),
                     population_.come(), population_.hung(), population_.lied(), reads + healthy_.checks(),
                     faults_.count(), now.daemon.rss_kib, now.mounter.rss_kib, now.guardian.rss_kib,
                     now.daemon.descriptors, now.daemon.threads, cpu, latencies.ls_median, latencies.ls_max,
                     latencies.read_median, latencies.read_max));
    if (has_ended(mount_->daemon().pid())) {
      faults_.add("the daemon has ended:\n" + mount_->log());
    }
    return now;
  }

  /// The first quiet points are of a daemon that still warms up: of a long soak the first tenth.
  void expect_flat() {
    const std::size_t warm = std::max<std::size_t>(1, quiet_.size() / 10) - 1;
    if (quiet_.size() < warm + 2) {
      faults_.add("too short to say whether anything grows");
      return;
    }
    const Sample& first = quiet_[warm];
    const Sample& last = quiet_.back();
    const auto expect = [&](const char* what, std::uint64_t before, std::uint64_t after, std::uint64_t more) {
      fmt::print("{}: {} at the first quiet point after warm-up, {} at the last; {} more are allowed\n", what,
                 before, after, more);
      if (after > before + more) {
        faults_.add(fmt::format("{} grew from {} to {}", what, before, after));
      }
    };
    expect("resident KiB", first.rss_kib(), last.rss_kib(), kMoreKib);
    if (const std::size_t middle = quiet_.size() / 2; middle > warm + 1) {
      expect("resident KiB since the middle", quiet_[middle].rss_kib(), last.rss_kib(), kMoreKibSinceMiddle);
    }
    expect("descriptors", first.daemon.descriptors, last.daemon.descriptors, kMoreDescriptors);
    expect("threads", first.daemon.threads, last.daemon.threads, kMoreThreads);
    expect("descriptors of the guardian", first.guardian.descriptors, last.guardian.descriptors, 0);
    expect("descriptors of the mounter", first.mounter.descriptors, last.mounter.descriptors, 0);
  }

  /// With VMs there again, all of them paused: the daemon ends in time and they run.
  void end() {
    if (has_ended(mount_->daemon().pid())) {
      return;
    }
    population_.start();
    std::this_thread::sleep_for(std::min<std::chrono::seconds>(settings_.time / 10, 20s));
    population_.freeze();
    for (const std::string& name : vms()) {
      static_cast<void>(try_write(*mount_ / name + "/control", "pause\n"));
    }
    const std::string path = mount_->path();
    mount_->daemon().signal(SIGTERM);
    const auto begin = Clock::now();
    const auto code = mount_->daemon().wait(5s);
    fmt::print("the daemon ended {} ms after SIGTERM\n",
               std::chrono::duration_cast<std::chrono::milliseconds>(Clock::now() - begin).count());
    if (code != 0) {
      faults_.add(code ? fmt::format("the daemon ended with {}:\n{}", *code, mount_->log())
                       : "the daemon does not end within 5 s");
    }
    population_.forget_attached();
    if (!eventually([&] { return is_plain_directory(path); }, 5s)) {
      faults_.add("the mount is still there");
    }
    if (!eventually([&] { return healthy_.is_running(); }, 5s)) {
      faults_.add("the healthy VM was left paused at the end");
    }
    population_.expect_none_paused();
    population_.end_all();
  }

  [[nodiscard]] int verdict() const {
    if (faults_.count() == 0) {
      fmt::print("verdict: good\n");
      return 0;
    }
    std::ofstream{settings_.log + ".daemon"} << mount_->log();
    fmt::print("verdict: {} faults, the first: {}\n", faults_.count(), faults_.first());
    return 1;
  }

  /// What a quiet daemon may take more at the end than after the warm-up. Freed memory counts too: of each of
  /// its up to 16 heaps (8 a CPU, here two) glibc keeps up to a MiB.
  static constexpr std::uint64_t kMoreKib = 16384;
  static constexpr std::uint64_t kMoreKibSinceMiddle = 4096;
  static constexpr std::uint64_t kMoreDescriptors = 4;
  static constexpr std::uint64_t kMoreThreads = 3; ///< of a worker that has not been idle for long enough

  const Settings settings_;
  const Clock::time_point begin_ = Clock::now();
  Faults faults_;
  HealthyVm healthy_;
  std::unique_ptr<Mount> mount_;
  Population population_;
  std::ofstream log_;
  std::vector<Sample> quiet_;
  std::uint64_t reads_ = 0;
  Clock::time_point last_time_ = begin_;
  double last_cpu_ = 0;
};

std::optional<Settings> settings_of(int count, char** arguments) {
  if (count != 3 && count != 4) {
    return std::nullopt;
  }
  const double hours = std::atof(arguments[1]);
  if (!(hours >= 0.01 && hours <= 1000)) {
    return std::nullopt;
  }
  Settings settings{std::chrono::seconds{static_cast<std::int64_t>(hours * 3600)}, arguments[2]};
  if (count == 4) {
    settings.pace = std::chrono::milliseconds{std::max(std::atoi(arguments[3]), 1)};
  }
  return settings;
}

} // namespace
} // namespace vmemfs::test

int main(int count, char** arguments) {
  const auto settings = vmemfs::test::settings_of(count, arguments);
  if (!settings) {
    fmt::print(stderr, "usage: soak HOURS LOG [PACE]\n");
    return 2;
  }
  try {
    return vmemfs::test::Soak{*settings}.run();
  } catch (const std::exception& error) {
    fmt::print(stderr, "soak: {}\n", error.what());
    return 1;
  }
}
