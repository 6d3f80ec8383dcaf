// SPDX-License-Identifier: MIT
// Random interleavings of all operations on a VM's memory or state, compared with a simple model: each page
// has a version that only increases, and no read may return an older version than the one at its start.
#include "util/log.h"
#include "vm_fixture.h"

#include <array>
#include <cstdlib>
#include <gtest/gtest.h>
#include <random>
#include <shared_mutex>
#include <thread>

namespace vmemfs::test {
namespace {

constexpr std::size_t kPages = 64;
constexpr std::size_t kCachedPages = 24; // fewer than the guest has, so that pages are evicted all the time
constexpr int kThreads = 4;

/// A million steps in all runs together, fewer with a sanitizer, which makes each step ten times slower;
/// VMEMFS_MODEL_STEPS overrides it.
int steps() {
  if (const char* const asked = std::getenv("VMEMFS_MODEL_STEPS")) {
    return std::atoi(asked);
  }
#if defined(__SANITIZE_THREAD__) || defined(__SANITIZE_ADDRESS__)
  return 30'000;
#else
  return 250'000;
#endif
}

/// A driver that is interrupted at the worst moment: when it has read the bytes and not returned them yet.
class Dawdling : public ForwardingDriver, RunControl {
public:
  /// `far`: reports slow calls, so that other threads prefetch for a reader.
  Dawdling(std::unique_ptr<Driver> inner, bool far) : ForwardingDriver{std::move(inner)}, far_{far} {}

  ReadCost read_cost() const override {
    return far_ ? ReadCost{std::chrono::milliseconds{2}, std::chrono::microseconds{1}}
                : ForwardingDriver::read_cost();
  }
  void read(std::span<ReadPiece> pieces) override {
    ForwardingDriver::read(pieces);
    dawdle();
  }
  RunControl* run_control() override { return this; }

private:
  Result<RunStatus> run_status() override {
    auto status = inner().run_control()->run_status();
    dawdle();
    return status;
  }
  Result<RunStatus> pause() override {
    auto paused = inner().run_control()->pause();
    dawdle();
    return paused;
  }
  Result<RunStatus> resume() override {
    auto resumed = inner().run_control()->resume();
    dawdle();
    return resumed;
  }
  std::string resume_ticket() const override { return inner().run_control()->resume_ticket(); }

  /// Occasionally yields the CPU to another thread.
  void dawdle() {
    if (calls_.fetch_add(1, std::memory_order_relaxed) % 8 == 0) {
      std::this_thread::sleep_for(std::chrono::microseconds{1});
    }
  }

  const bool far_;
  std::atomic<unsigned> calls_{0};
};

/// A reader: sequential for a while, then at another place.
struct Reader {
  ReadScratch scratch;
  ReadAhead read_ahead;
  std::size_t next = 0; ///< page
};

/// Expected memory: for each page, the version written last. Versions are never pattern words.
class Model {
public:
  explicit Model(VmFixture& fixture) : fixture_{fixture} {}

  /// Reads a few pages and compares.
  void read(std::mt19937& random, Reader& reader) {
    const std::shared_lock lock{resets_};
    const std::size_t first = random() % 4 == 0 || reader.next >= kPages ? random() % kPages : reader.next;
    const std::size_t count = 1 + random() % std::min<std::size_t>(4, kPages - first);
    std::array<std::uint64_t, 4> least{};
    for (std::size_t i = 0; i < count; ++i) {
      least[i] = pages_[first + i].written;
    }
    const auto policy = random() % 2 == 0 ? HolePolicy::honest : HolePolicy::padded;
    ReadScratch& scratch = reader.scratch;
    const auto read = fixture_.vm->guest().memory().read(first * kPageSize, count * kPageSize, policy,
                                                         scratch, &reader.read_ahead);
    reader.next = first + count;
    std::size_t page = 0;
    for (const iovec& part : scratch.data()) {
      for (std::size_t at = 0; read && at < part.iov_len; at += kPageSize, ++page) {
        check(first + page, least[page], static_cast<const std::byte*>(part.iov_base) + at, policy);
      }
    }
    scratch.release();
  }

  void guest_writes(std::mt19937& random) {
    write(random() % kPages, [&](std::uint64_t gpa, std::span<const std::byte> bytes) {
      return fixture_.fake->guest_writes(Gpa{gpa}, bytes);
    });
  }

  void user_writes(std::mt19937& random) {
    write(random() % kPages, [&](std::uint64_t gpa, std::span<const std::byte> bytes) {
      return fixture_.vm->guest().memory().write(gpa, bytes).has_value();
    });
  }

  void reset() {
    const std::unique_lock lock{resets_};
    fixture_.fake->reset();
    for (Page& page : pages_) {
      page.written = 0;
    }
  }

  [[nodiscard]] int stale() const { return stale_; }
  [[nodiscard]] int checked() const { return checked_; }

private:
  struct Page {
    std::mutex mutex; ///< one write at a time, so that versions go up
    std::atomic<std::uint64_t> written{0};
  };

  template <typename Write> void write(std::size_t index, Write&& put) {
    const std::shared_lock lock{resets_};
    Page& page = pages_[index];
    const std::scoped_lock one{page.mutex};
    const std::uint64_t version = ++versions_;
    // The same at both ends, so that a torn page shows as well.
    if (put(index * kPageSize, std::as_bytes(std::span{&version, 1}))) {
      page.written = version;
    }
  }

  void check(std::size_t page, std::uint64_t least, const std::byte* bytes, HolePolicy policy) {
    std::uint64_t word = 0;
    std::memcpy(&word, bytes, sizeof(word));
    const std::uint64_t version = word == fake_word(Gpa{page * kPageSize}) ? 0 : word;
    const bool zeros = word == 0; // a refused page
    ++checked_;
    if ((version < least && !(zeros && policy == HolePolicy::padded)) || version > versions_) {
      ++stale_;
      ADD_FAILURE() << "page " << page << ": " << version << " where at least " << least << " was there";
    }
    std::uint64_t second = 0;
    std::memcpy(&second, bytes + 8, sizeof(second));
    EXPECT_TRUE(second == fake_word(Gpa{page * kPageSize + 8}) || zeros);
  }

  VmFixture& fixture_;
  std::shared_mutex resets_;
  std::atomic<std::uint64_t> versions_{0};
  std::array<Page, kPages> pages_;
  std::atomic<int> stale_{0};
  std::atomic<int> checked_{0};
};

void random_steps(VmFixture& fixture, Model& model, unsigned seed, int steps) {
  std::mt19937 random{seed};
  Reader reader;
  std::optional<HoldId> hold;
  for (int i = 0; i < steps && model.stale() == 0; ++i) {
    switch (random() % 100) {
    default: model.read(random, reader); break;
    case 0:
    case 1: static_cast<void>(fixture.vm->run_state().pause()); break;
    case 2:
    case 3: static_cast<void>(fixture.vm->run_state().resume()); break;
    case 4: fixture.fake->set_running(false); break;
    case 5: fixture.fake->set_running(true); break;
    case 6:
      if (const auto begun = fixture.vm->run_state().hold(); begun && !hold) {
        hold = *begun;
      } else if (begun) {
        fixture.vm->run_state().end_hold(*begun);
      }
      break;
    case 7:
      if (hold) {
        fixture.vm->run_state().end_hold(*std::exchange(hold, std::nullopt));
      }
      break;
    case 8: fixture.vm->cache().flush(); break;
    case 9: {
      const std::size_t at = random() % kPages;
      fixture.fake->set_bad({{Gpa{at * kPageSize}, Gpa{(at + 2) * kPageSize}}});
      break;
    }
    case 10:
      static_cast<void>(fixture.vm->cache().change(
          [&](CacheSettings& settings) { settings.size = (1 + random() % kCachedPages) * kPageSize; }));
      break;
    case 11:
      if (random() % 16 == 0) {
        model.reset();
      }
      break;
    case 12:
    case 13:
    case 14: model.user_writes(random); break;
    }
  }
  if (hold) {
    fixture.vm->run_state().end_hold(*hold);
  }
}

/// Parameters: the driver notifies of our own commands, as some hypervisors do; its calls are slow.
class CoherenceModel : public testing::TestWithParam<std::tuple<bool, bool>> {};

TEST_P(CoherenceModel, RandomInterleavings_NoReadIsOlderThanItsStart) {
  log::set_level(log::Level::error);
  FakeOptions options;
  options.size = kPages * kPageSize;
  options.events_of_own_commands = std::get<0>(GetParam());
  const bool far = std::get<1>(GetParam());
  VmFixture fixture{options, {.writable = true}, {}, [far](std::unique_ptr<Driver> inner) {
                      return std::make_unique<Dawdling>(std::move(inner), far);
                    }};
  ASSERT_TRUE(fixture.vm->cache().change([](CacheSettings& settings) {
    settings = {.mode = CacheMode::on, .ttl = {}, .size = kCachedPages * kPageSize};
  }));
  Model model{fixture};
  std::jthread guest{[&](const std::stop_token& stop) {
    std::mt19937 random{4711};
    while (!stop.stop_requested()) {
      model.guest_writes(random);
    }
  }};
  std::vector<std::jthread> threads;
  for (unsigned i = 0; i < kThreads; ++i) {
    threads.emplace_back([&, i] { random_steps(fixture, model, i + 1, steps() / kThreads); });
  }
  threads.clear();
  guest.request_stop();
  guest.join();
  const CacheCounts counts = fixture.vm->cache().counts();
  RecordProperty("hits", static_cast<int>(counts.hits));
  EXPECT_GT(counts.hits, static_cast<unsigned>(steps()) / 100U) << "or nothing was tested";
  EXPECT_GT(fixture.vm->cache().stats().evictions, static_cast<unsigned>(steps()) / 1000U);
  EXPECT_GT(model.checked(), steps() / 2);
  EXPECT_EQ(counts.prefetched > static_cast<unsigned>(steps()) / 1000U, far);
  EXPECT_EQ(model.stale(), 0);
  log::set_level(log::Level::info);
}

INSTANTIATE_TEST_SUITE_P(, CoherenceModel, testing::Combine(testing::Bool(), testing::Bool()),
                         [](const auto& param) {
                           return std::string{std::get<0>(param.param) ? "OwnCommandsAreTold"
                                                                       : "OwnCommandsAreNotTold"} +
                                  (std::get<1>(param.param) ? "_ReadAheadApart" : "");
                         });

} // namespace
} // namespace vmemfs::test
