// SPDX-License-Identifier: MIT
#include "soak/population.h"

#include "support/files.h"

#include <algorithm>
#include <csignal>
#include <exception>
#include <fmt/format.h>
#include <iterator>
#include <mutex>
#include <system_error>

namespace vmemfs::test {

using namespace std::chrono_literals;

void Population::start() {
  frozen_ = false;
  if (threads_.empty()) {
    unsigned seed = 0;
    for (const auto step :
         {&Population::churn_one, &Population::start_liar, &Population::attach_or_detach_one}) {
      threads_.emplace_back(
          [this, step, seed = ++seed](const std::stop_token& stop) { run(stop, step, seed); });
    }
  }
}

void Population::freeze() {
  frozen_ = true;
  const std::unique_lock no_step{step_};
}

void Population::run(const std::stop_token& stop, void (Population::*step)(std::mt19937&), unsigned seed) {
  std::mt19937 dice{seed};
  while (!stop.stop_requested()) {
    if (const std::shared_lock lock{step_}; !frozen_) {
      try {
        (this->*step)(dice);
      } catch (const std::exception& error) { // of QEMU itself, or of the host
        faults_.add(fmt::format("population: {}", error.what()));
      }
    }
    rest(pace_);
    if (frozen_) {
      std::this_thread::sleep_for(100ms);
    }
  }
}

void Population::rest(std::chrono::milliseconds time) const {
  for (const auto end = std::chrono::steady_clock::now() + time;
       !frozen_ && std::chrono::steady_clock::now() < end;) {
    std::this_thread::sleep_for(std::min(time, 100ms));
  }
}

void Population::churn_one(std::mt19937& dice) {
  auto& vm = qemus_[dice() % qemus_.size()];
  if (vm == nullptr) {
    vm = std::make_unique<ChurnedVm>(next_number_++);
    ++come_;
  } else if (dice() % 3 == 0) {
    hang(*vm, dice);
  } else if (dice() % 2 == 0) {
    static_cast<void>(vm->end());
    vm.reset();
  }
}

/// It stops for some seconds; one of three is killed then.
void Population::hang(ChurnedVm& vm, std::mt19937& dice) {
  ++hung_;
  vm.signal(SIGSTOP);
  rest(1s + std::chrono::milliseconds{dice() % 8000});
  vm.signal(dice() % 3 == 0 ? SIGKILL : SIGCONT);
}

/// In the place of one that was there before.
void Population::start_liar(std::mt19937& dice) {
  auto& place = liars_[dice() % liars_.size()];
  place.reset();
  const std::string name = fmt::format("liar{}", next_liar_++);
  const auto qmp = [](const std::string& socket) {
    return std::vector<std::string>{"-qmp", fmt::format("unix:{},server=on,wait=off", socket), "-name"};
  };
  switch (dice() % 8) {
  case 0: // names the monitor of another
    place = std::make_unique<AttackerProgram>("pretend");
    place->start(joined({"-m", "64"}, joined(qmp(victim_), {name})));
    break;
  case 1: // says nothing
    place = std::make_unique<AttackerProgram>("silent_sockets");
    place->start({"make", "3", place->dir().path(), name});
    break;
  case 2: // right, but with hundreds of files or a huge answer
    place = std::make_unique<AttackerProgram>("monitor");
    place->start(joined({dice() % 2 == 0 ? "200" : "4", dice() % 2 == 0 ? "250000" : "0"},
                        joined(qmp(place->dir() / "qmp"), {name})));
    break;
  default: {
    static constexpr const char* kKinds[] = {"garbage", "endless", "types", "slow", "closes"};
    place = std::make_unique<AttackerProgram>("liar");
    place->start(joined({kKinds[dice() % std::size(kKinds)]}, joined(qmp(place->dir() / "qmp"), {name})));
  }
  }
  ++come_;
  ++lied_;
}

void Population::attach_or_detach_one(std::mt19937& dice) {
  const unsigned i = dice() % kSlow;
  if (!attached_[i]) {
    const int error = try_write(mountpoint_ + "/.vmemfs/control",
                                fmt::format("attach slow{}=fake:size=16M,vcpus=2,delay={}ms\n", i,
                                            dice() % 4 == 0 ? 3000 : dice() % 300));
    if (error != 0) {
      faults_.add(fmt::format("slow{} is not attached: {}", i, std::generic_category().message(error)));
    }
    attached_[i] = error == 0;
    ++come_;
  } else if (dice() % 2 == 0) {
    detach(i);
  }
}

void Population::detach(unsigned i) {
  const int error = i % 2 == 0
                        ? try_write(mountpoint_ + "/.vmemfs/control", fmt::format("detach slow{}\n", i))
                        : try_write(fmt::format("{}/slow{}/control", mountpoint_, i), "detach\n");
  if (error != 0) {
    faults_.add(fmt::format("slow{} is not detached: {}", i, std::generic_category().message(error)));
  }
  attached_[i] = false;
}

void Population::expect_none_paused() {
  for (const auto& vm : qemus_) {
    if (vm == nullptr || !vm->runs()) {
      continue;
    }
    std::string why;
    const bool runs = eventually(
        [&] {
          try {
            why = "it is paused";
            return vm->is_running();
          } catch (const std::exception& no_answer) { // killed while it hung
            why = no_answer.what();
            return why.starts_with("cannot connect");
          }
        },
        15s);
    if (!runs) {
      faults_.add(fmt::format("{} was left behind: {}", vm->name(), why));
    }
  }
}

void Population::end_all() {
  freeze();
  for (unsigned i = 0; i < kSlow; ++i) {
    if (attached_[i]) {
      detach(i);
    }
  }
  for (auto& vm : qemus_) {
    if (vm != nullptr) {
      static_cast<void>(vm->end());
      vm.reset();
    }
  }
  for (auto& liar : liars_) {
    liar.reset();
  }
}

} // namespace vmemfs::test
