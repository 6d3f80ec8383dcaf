// SPDX-License-Identifier: MIT
#include "drivers/kvmi/vcpus/pauses.h"

#include "util/limited_wait.h"

#include <algorithm>

namespace vmemfs::kvmi {

void Pauses::begin() {
  const MutexLock lock{mutex_};
  wanted_ = true;
}

std::vector<std::uint16_t> Pauses::expect(std::uint32_t vcpus) {
  std::vector<std::uint16_t> needed;
  const MutexLock lock{mutex_};
  for (std::uint32_t i = 0; i < vcpus; ++i) {
    Vcpu& vcpu = vcpus_[static_cast<std::uint16_t>(i)];
    if (vcpu.expected == 0 && !vcpu.event) {
      vcpu.expected = 1;
      needed.push_back(static_cast<std::uint16_t>(i));
    }
  }
  return needed;
}

void Pauses::not_expected(std::uint16_t vcpu) {
  const MutexLock lock{mutex_};
  const auto found = vcpus_.find(vcpu);
  if (found != vcpus_.end() && found->second.expected > 0) {
    --found->second.expected;
  }
  changed_.notify_all();
}

std::optional<std::uint16_t> Pauses::running_of(std::uint32_t vcpus) const {
  for (std::uint32_t i = 0; i < vcpus; ++i) {
    const auto found = vcpus_.find(static_cast<std::uint16_t>(i));
    if (found == vcpus_.end() || !found->second.event) {
      return static_cast<std::uint16_t>(i);
    }
  }
  return std::nullopt;
}

bool Pauses::wait_all(std::uint32_t vcpus, Clock::time_point deadline) {
  const MutexLock lock{mutex_};
  wait_within_limit(changed_, mutex_, deadline,
                    [&]() REQUIRES(mutex_) { return ended_ || !wanted_ || !running_of(vcpus); });
  return !ended_ && wanted_ && !running_of(vcpus);
}

std::optional<std::uint16_t> Pauses::running(std::uint32_t vcpus) const {
  const MutexLock lock{mutex_};
  return running_of(vcpus);
}

bool Pauses::waits(std::uint16_t vcpu) const {
  const MutexLock lock{mutex_};
  const auto found = vcpus_.find(vcpu);
  return found != vcpus_.end() && found->second.event.has_value();
}

Pauses::Taken Pauses::take(const Event& event) {
  const MutexLock lock{mutex_};
  const auto found = vcpus_.find(event.vcpu);
  if (found == vcpus_.end() || found->second.expected == 0) {
    return Taken::not_ours;
  }
  --found->second.expected;
  const bool kept = wanted_ && !found->second.event;
  if (kept) {
    found->second.event = event;
  }
  changed_.notify_all();
  return kept ? Taken::kept : Taken::too_late;
}

std::vector<Event> Pauses::release() {
  std::vector<Event> events;
  const MutexLock lock{mutex_};
  wanted_ = false;
  for (auto& [number, vcpu] : vcpus_) {
    if (vcpu.event) {
      events.push_back(*vcpu.event);
      vcpu.event.reset();
    }
  }
  changed_.notify_all();
  return events;
}

bool Pauses::wait_none(Clock::time_point deadline) {
  const MutexLock lock{mutex_};
  const auto none = [&]() REQUIRES(mutex_) {
    return ended_ ||
           std::ranges::all_of(vcpus_, [](const auto& entry) { return entry.second.expected == 0; });
  };
  return wait_within_limit(changed_, mutex_, deadline, none);
}

void Pauses::end() {
  const MutexLock lock{mutex_};
  ended_ = true;
  wanted_ = false;
  vcpus_.clear();
  changed_.notify_all();
}

} // namespace vmemfs::kvmi
