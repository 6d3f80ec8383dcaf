// SPDX-License-Identifier: MIT
#include "drivers/fake/fake_driver.h"

#include "arch/x86_64/registers.h"
#include "util/zeros.h"

#include <algorithm>
#include <cstring>
#include <fmt/format.h>
#include <utility>

namespace vmemfs {
namespace {

bool touches(const GpaRange& range, std::span<const GpaRange> others) {
  return std::ranges::any_of(
      others, [&](const GpaRange& other) { return range.begin < other.end && other.begin < range.end; });
}

/// [0, size) cut at every border of holes and roms, holes left out.
Result<MemoryMap> make_map(std::uint64_t size, std::span<const GpaRange> holes,
                           std::span<const GpaRange> roms) {
  std::vector<Gpa> cuts{Gpa{0}, Gpa{size}};
  for (const auto ranges : {holes, roms}) {
    for (const GpaRange& range : ranges) {
      cuts.push_back(std::min(range.begin, Gpa{size}));
      cuts.push_back(std::min(range.end, Gpa{size}));
    }
  }
  std::ranges::sort(cuts);
  const auto repeated = std::ranges::unique(cuts);
  cuts.erase(repeated.begin(), repeated.end());

  std::vector<Region> regions;
  for (std::size_t i = 1; i < cuts.size(); ++i) {
    const GpaRange range{cuts[i - 1], cuts[i]};
    if (!touches(range, holes)) {
      const bool rom = touches(range, roms);
      regions.push_back(
          {range, rom ? RegionKind::rom : RegionKind::ram, !rom, rom ? 1U : 0U, range.begin.value()});
    }
  }
  return MemoryMap::build(std::move(regions), {"fake.ram", "fake.rom"});
}

/// One register is absent, as in most real sources.
constexpr auto kAbsent = x86_64::Register::cr8;

RegisterSet scripted_registers(std::uint32_t vcpu) {
  RegisterSet registers{x86_64::register_layout()};
  for (std::size_t i = 0; i < x86_64::kRegisterCount; ++i) {
    const RegisterIndex reg{i};
    if (reg != kAbsent) {
      registers.set(reg, (std::uint64_t{vcpu} << 32U) | (0x1000U + i));
    }
  }
  return registers;
}

void fill_pattern(Gpa gpa, std::span<std::byte> buffer) {
  std::size_t at = 0;
  while (at < buffer.size()) {
    const Gpa here = gpa + at;
    const std::size_t skip = here.value() % sizeof(std::uint64_t);
    const std::uint64_t word = fake_word(Gpa{here.value() - skip});
    const std::size_t count = std::min(sizeof(word) - skip, buffer.size() - at);
    std::memcpy(buffer.data() + at, reinterpret_cast<const std::byte*>(&word) + skip, count);
    at += count;
  }
}

} // namespace

FakeDriver::FakeDriver(FakeOptions options, std::shared_ptr<const MemoryMap> map)
    : options_{std::move(options)},
      identity_{options_.name, "00000000-0000-4000-8000-00000000fa4e", "fake", options_.key},
      map_{std::move(map)}, bad_{options_.bad} {
  set_vcpus(VcpuSet::first(options_.vcpus));
}

Result<std::unique_ptr<FakeDriver>> FakeDriver::create(FakeOptions options) {
  auto map = make_map(options.size, options.holes, options.roms);
  if (!map) {
    return tl::unexpected{map.error()};
  }
  return std::unique_ptr<FakeDriver>{
      new FakeDriver{std::move(options), std::make_shared<const MemoryMap>(std::move(*map))}};
}

std::shared_ptr<const MemoryMap> FakeDriver::memory_map() const {
  const MutexLock lock{mutex_};
  return map_;
}

void FakeDriver::read_piece(const MemoryMap& map, ReadPiece& piece) const {
  piece.done = 0;
  piece.failure.reset();
  if (gone_) {
    piece.failure = ErrorKind::vm_gone;
    return;
  }
  while (piece.done < piece.buffer.size()) {
    const Gpa here = piece.gpa + piece.done;
    const auto stretch = map.at(here);
    if (stretch.region == nullptr) {
      piece.failure = ErrorKind::hole;
      return;
    }
    std::size_t count = std::min<std::uint64_t>(stretch.range.size(), piece.buffer.size() - piece.done);
    for (const GpaRange& bad : bad_) {
      if (bad.contains(here)) {
        piece.failure = ErrorKind::bad_page;
        return;
      }
      if (here < bad.begin) {
        count = std::min<std::uint64_t>(count, bad.begin - here);
      }
    }
    const auto target = piece.buffer.subspan(piece.done, count);
    if (options_.pattern == FakePattern::zero) {
      std::ranges::fill(target, std::byte{0});
    } else {
      fill_pattern(here, target);
      lay_over(here, target);
    }
    piece.done += count;
  }
}

/// Puts in what was written.
void FakeDriver::lay_over(Gpa gpa, std::span<std::byte> target) const {
  for (auto page = written_.lower_bound(Gfn{gpa}); page != written_.end(); ++page) {
    const Gpa begin = std::max(page->first.gpa(), gpa);
    const Gpa end = std::min(page->first.gpa() + kPageSize, gpa + target.size());
    if (begin >= end) {
      return;
    }
    std::memcpy(target.data() + (begin - gpa), page->second.data() + begin.page_offset(), end - begin);
  }
}

void FakeDriver::store(Gpa gpa, std::span<const std::byte> bytes) {
  while (!bytes.empty()) {
    const auto [page, is_new] = written_.try_emplace(Gfn{gpa});
    if (is_new) {
      fill_pattern(page->first.gpa(), page->second);
    }
    const std::size_t count = std::min<std::size_t>(bytes.size(), kPageSize - gpa.page_offset());
    std::memcpy(page->second.data() + gpa.page_offset(), bytes.data(), count);
    gpa = gpa + count;
    bytes = bytes.subspan(count);
  }
}

WriteOutcome FakeDriver::write(Gpa gpa, std::span<const std::byte> bytes) {
  log_call("write");
  if (gone_) {
    return {0, Error{ErrorKind::vm_gone, "fake", "the VM has ended"}};
  }
  const auto map = memory_map();
  std::size_t fits = 0;
  ErrorKind kind = ErrorKind::bad_page;
  while (fits < bytes.size()) {
    const auto stretch = map->at(gpa + fits);
    if (stretch.region == nullptr || !stretch.region->writable) {
      kind = stretch.region == nullptr ? ErrorKind::hole : ErrorKind::read_only;
      break;
    }
    fits = std::min<std::uint64_t>(bytes.size(), stretch.range.end - gpa);
  }
  const MutexLock lock{memory_mutex_};
  for (const GpaRange& bad : bad_) {
    if (gpa < bad.end && bad.begin < gpa + fits) {
      fits = bad.begin > gpa ? bad.begin - gpa : 0;
      kind = ErrorKind::bad_page;
    }
  }
  store(gpa, bytes.first(fits));
  if (fits < bytes.size()) {
    return {fits, Error{kind, "fake", "this memory takes no write"}};
  }
  return {fits, std::nullopt};
}

bool FakeDriver::guest_writes(Gpa gpa, std::span<const std::byte> bytes) {
  const MutexLock lock{mutex_};
  if (!running_) {
    return false;
  }
  const MutexLock memory{memory_mutex_};
  store(gpa, bytes);
  return true;
}

void FakeDriver::reset() {
  {
    const MutexLock lock{memory_mutex_};
    written_.clear();
  }
  listener_.emit(VmEvent::reset);
}

void FakeDriver::set_bad(std::vector<GpaRange> bad) {
  const MutexLock lock{memory_mutex_};
  bad_ = std::move(bad);
}

void FakeDriver::read(std::span<ReadPiece> pieces) {
  const auto map = memory_map();
  const ReaderLock lock{memory_mutex_};
  for (ReadPiece& piece : pieces) {
    read_piece(*map, piece);
  }
}

std::span<const std::byte> FakeDriver::borrow(Gpa gpa, std::size_t size, MemoryPin& /*pin*/) {
  if (gone_ || size > zeros().size() || !options_.bad.empty()) {
    return {};
  }
  const auto map = memory_map();
  const auto stretch = map->at(gpa);
  if (stretch.region == nullptr || stretch.range.size() < size) {
    return {};
  }
  return zeros().first(size);
}

Result<void> FakeDriver::refresh() {
  log_call("refresh");
  return {};
}

AccessReport FakeDriver::access() const {
  return {"made up from the parameters", "made up: a function of the address", "scripted", "a flag",
          "kept in this process"};
}

Result<void> FakeDriver::check_vcpu(VcpuId vcpu) const {
  if (gone_) {
    return fail(ErrorKind::vm_gone, "fake", "the VM has ended");
  }
  if (!vcpus_.contains(vcpu)) {
    return fail(ErrorKind::not_found, "fake", fmt::format("there is no vCPU {}", vcpu.value()));
  }
  return {};
}

const RegisterLayout& FakeDriver::register_layout() const { return x86_64::register_layout(); }

bool FakeDriver::usually_has(RegisterIndex reg) const { return reg != kAbsent; }

Result<std::vector<RegisterSet>> FakeDriver::read_registers(std::span<const VcpuId> vcpus) {
  log_call("read_registers");
  std::vector<RegisterSet> sets;
  const MutexLock lock{mutex_};
  for (const VcpuId vcpu : vcpus) {
    if (const auto checked = check_vcpu(vcpu); !checked) {
      return tl::unexpected{checked.error()};
    }
    sets.push_back(registers_.at(vcpu));
  }
  return sets;
}

Result<void> FakeDriver::write_registers(VcpuId vcpu, std::span<const RegisterValue> values) {
  log_call("write_registers");
  const MutexLock lock{mutex_};
  if (auto checked = check_vcpu(vcpu); !checked) {
    return checked;
  }
  RegisterSet& registers = registers_.at(vcpu);
  for (const RegisterValue& value : values) {
    if (!registers.get(value.reg)) {
      return fail(ErrorKind::unsupported, "fake",
                  fmt::format("{} cannot be set", register_layout().name(value.reg)));
    }
  }
  for (const RegisterValue& value : values) {
    registers.set(value.reg, value.value);
  }
  return {};
}

Result<RunStatus> FakeDriver::run_status() {
  log_call("run_status");
  if (gone_) {
    return fail(ErrorKind::vm_gone, "fake", "the VM has ended");
  }
  const MutexLock lock{mutex_};
  return RunStatus{running_, running_ ? "running" : "paused"};
}

Result<RunStatus> FakeDriver::pause() {
  log_call("pause");
  if (gone_) {
    return fail(ErrorKind::vm_gone, "fake", "the VM has ended");
  }
  change_state(false, options_.events_of_own_commands);
  return RunStatus{false, "paused"};
}

Result<RunStatus> FakeDriver::resume() {
  log_call("resume");
  if (gone_) {
    return fail(ErrorKind::vm_gone, "fake", "the VM has ended");
  }
  change_state(true, options_.events_of_own_commands);
  return RunStatus{true, "running"};
}

void FakeDriver::die() {
  gone_ = true;
  listener_.emit(VmEvent::gone);
}

void FakeDriver::change_layout(std::vector<GpaRange> holes) {
  auto map = make_map(options_.size, holes, options_.roms);
  if (map) {
    {
      const MutexLock lock{mutex_};
      map_ = std::make_shared<const MemoryMap>(std::move(*map));
    }
    listener_.emit(VmEvent::layout_changed);
  }
}

VcpuSet FakeDriver::vcpus() const {
  const MutexLock lock{mutex_};
  return vcpus_;
}

void FakeDriver::set_vcpus(const VcpuSet& vcpus) {
  {
    const MutexLock lock{mutex_};
    std::erase_if(registers_, [&](const auto& entry) { return !vcpus.contains(entry.first); });
    for (const VcpuId vcpu : vcpus) {
      registers_.emplace(vcpu, scripted_registers(vcpu.value()));
    }
    vcpus_ = vcpus;
  }
  listener_.emit(VmEvent::vcpus_changed);
}

/// Reports the event under the lock of the state, so that a caller that sees the new state comes after the
/// event.
void FakeDriver::change_state(bool running, bool notify) {
  const MutexLock lock{mutex_};
  if (std::exchange(running_, running) != running && notify) {
    listener_.emit(running ? VmEvent::resumed : VmEvent::paused);
  }
}

void FakeDriver::set_running(bool running) { change_state(running, true); }

std::vector<std::string> FakeDriver::calls() const {
  const MutexLock lock{mutex_};
  return calls_;
}

void FakeDriver::log_call(std::string_view call) {
  const MutexLock lock{mutex_};
  calls_.emplace_back(call);
}

} // namespace vmemfs
