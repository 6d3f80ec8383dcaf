// SPDX-License-Identifier: MIT
#include "vmm/process_guest.h"

#include "driver/kit/read_pieces.h"
#include "util/log.h"

#include <fmt/format.h>
#include <utility>

namespace vmemfs {

Result<void> ProcessGuest::watch_end(FdWatcher& watcher, std::function<void()> ended) {
  ended_ = std::move(ended);
  auto watch = watcher.watch_once(space_->process().pidfd(), [this] { end(); });
  if (!watch) {
    return tl::unexpected{watch.error()};
  }
  end_watch_ = std::move(*watch);
  program_watch_ = watcher.watch_every_second([this] {
    if (ended_ && !program_.seems_current()) {
      end();
    }
  });
  return {};
}

void ProcessGuest::end() {
  if (const auto ended = std::exchange(ended_, nullptr)) {
    memory_.store(nullptr); // a mapping would keep the dead guest's memory in use
    if (space_->process().alive() && !space_->running()) {
      log::info("{}", space_->gone().value().message());
    }
    ended();
  }
}

Result<bool> ProcessGuest::publish(GuestLayout layout, Mappings mappings) {
  const auto before = memory_.load();
  auto memory =
      GuestMemory::open(std::move(layout), space_, mappings == Mappings::keep ? before.get() : nullptr);
  if (!memory) {
    return tl::unexpected{memory.error()};
  }
  const bool changed = before != nullptr && !same_memory(before->layout(), (*memory)->layout());
  memory_.store(std::move(*memory));
  if (gone()) { // the VM ended meanwhile: its memory must not stay mapped
    memory_.store(nullptr);
  }
  return changed;
}

std::shared_ptr<const MemoryMap> ProcessGuest::memory_map() const {
  auto memory = memory_.load();
  if (memory == nullptr) {
    return std::make_shared<const MemoryMap>();
  }
  const MemoryMap* const map = &memory->map();
  return {std::move(memory), map};
}

void ProcessGuest::read(std::span<ReadPiece> pieces) const {
  const auto memory = memory_.load();
  if (memory == nullptr) {
    fail_pieces(pieces, ErrorKind::vm_gone);
    return;
  }
  memory->read(pieces);
}

UseSearch ProcessGuest::find(const GpaRange& range, MemoryUse wanted) const {
  const auto memory = memory_.load();
  return memory != nullptr ? memory->find(range, wanted) : all_held(range.size(), wanted);
}

std::optional<std::uint64_t> ProcessGuest::held_bytes() const {
  const auto memory = memory_.load();
  return memory != nullptr ? std::optional{memory->held_bytes()} : std::nullopt;
}

std::span<const std::byte> ProcessGuest::borrow(Gpa gpa, std::size_t size, MemoryPin& pin) const {
  auto memory = memory_.load();
  if (memory == nullptr) {
    return {};
  }
  const auto bytes = memory->borrow(gpa, size);
  if (!bytes.empty()) {
    pin = std::move(memory);
  }
  return bytes;
}

std::optional<std::uint64_t> ProcessGuest::size(const Region& of) {
  const auto memory = memory_.load();
  return memory != nullptr ? memory->block_size(of) : std::nullopt;
}

std::optional<std::uint64_t> ProcessGuest::held_bytes(const Region& of) {
  const auto memory = memory_.load();
  return memory != nullptr ? memory->block_held_bytes(of) : std::nullopt;
}

tl::expected<std::size_t, ErrorKind> ProcessGuest::read(const Region& of, std::uint64_t offset,
                                                        std::span<std::byte> buffer) {
  const auto memory = memory_.load();
  auto bytes = memory != nullptr ? memory->read_block(of, offset, buffer)
                                 : tl::expected<std::size_t, ErrorKind>{tl::unexpected{ErrorKind::vm_gone}};
  if (!space_->running()) { // a memfd outlives its VM
    bytes = tl::unexpected{ErrorKind::vm_gone};
  }
  return bytes;
}

Result<UniqueFd> ProcessGuest::open_file(const Region& of) {
  const auto memory = memory_.load();
  if (memory == nullptr || !space_->running()) {
    return space_->gone();
  }
  return memory->open_block_file(of);
}

std::string ProcessGuest::describe() const {
  const auto memory = memory_.load();
  return memory != nullptr ? memory->host().describe() : "none: the VM has ended";
}

std::vector<ProbeResult> ProcessGuest::probe() const {
  std::vector<ProbeResult> results;
  if (const auto memory = memory_.load()) {
    for (const HostStretch& stretch : memory->host().stretches()) {
      results.push_back({fmt::format("memory at {:#x}-{:#x} of process {}", stretch.range.begin,
                                     stretch.range.end, space_->pid()),
                         stretch.usable, stretch.detail});
    }
  }
  return results;
}

} // namespace vmemfs
