// SPDX-License-Identifier: MIT
#include "drivers/kvmi/mapping/mapped_memory.h"

#include "core/text.h"
#include "drivers/kvmi/mapping/mapping_copy.h"
#include "util/log.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <fmt/format.h>
#include <utility>

namespace vmemfs::kvmi {
namespace {

using Clock = std::chrono::steady_clock;

/// Pages whose tokens are asked for together.
constexpr std::size_t kMaxTogether = 64;

/// After a page that could not be mapped for the moment.
constexpr std::chrono::seconds kPauseAfterBusy{1};

/// How long unmapping waits for a copy that is under way, or for an ioctl.
constexpr std::chrono::seconds kMaxUnmapWait{2};

/// What a refused GET_MAP_TOKEN means.
ErrorKind kind_of_token_status(std::int32_t status) {
  return status == -EAGAIN || status == -ENOMEM || status == -EBUSY ? ErrorKind::busy
                                                                    : ErrorKind::unsupported;
}

std::size_t pages_of(const DeviceRegion& region) {
  return static_cast<std::size_t>(region.range.size() / kPageSize);
}

} // namespace

MappedMemory::Mapping::~Mapping() {
  owner.device_->unmap(region);
  owner.release(pages_of(region));
}

MappedMemory::MappedMemory(Session& session, std::unique_ptr<MemoryDevice> device, std::size_t max_pages,
                           std::function<void()> wanted)
    : session_{session}, device_{std::move(device)}, max_pages_{std::min(max_pages, kMaxPages)},
      wanted_callback_{std::move(wanted)} {}

MappedMemory::~MappedMemory() { end(); }

std::shared_ptr<MappedMemory::Mapping> MappedMemory::find(Gpa gpa) const {
  const auto next = mappings_.upper_bound(gpa);
  return next != mappings_.end() && next->second->region.range.contains(gpa) ? next->second : nullptr;
}

bool MappedMemory::copy(Gpa gpa, std::span<std::byte> into) {
  if (!any_) {
    return false;
  }
  std::shared_ptr<Mapping> mapping;
  {
    const MutexLock lock{mutex_};
    mapping = find(gpa);
  }
  if (mapping == nullptr) {
    return false;
  }
  mapping->used = ++clock_;
  if (copy_from_mapping(mapping->region.address + (gpa - mapping->region.range.begin), into)) {
    // After the end nothing says that these are the VM's bytes.
    failures_ = 0;
    return !session_.ended();
  }
  failed({ErrorKind::bad_page, "kvmi", "a mapped page has vanished"}, gpa);
  const MutexLock lock{mutex_}; // `mapping` is destroyed after it
  std::erase_if(mappings_, [&](const auto& entry) { return entry.second == mapping; });
  any_ = !mappings_.empty();
  return false;
}

void MappedMemory::was_read(Gpa gpa) {
  if (off_ || !hot_.read_again(gpa) || Clock::now() < not_before_.load()) {
    return;
  }
  {
    const MutexLock lock{mutex_};
    if (!may_map() || wanted_.size() >= kMaxWanted) {
      return;
    }
    wanted_.insert(gpa.page_start());
  }
  if (!job_asked_.exchange(true)) {
    wanted_callback_();
  }
}

bool MappedMemory::may_map() const { return suspended_ == 0 && !off_; }

std::vector<Gpa> MappedMemory::take_wanted(std::uint64_t& epoch) {
  std::vector<Gpa> pages;
  const MutexLock lock{mutex_};
  epoch = epoch_;
  if (!may_map()) {
    wanted_.clear();
  }
  while (!wanted_.empty() && pages.size() < kMaxTogether) {
    const Gpa page = wanted_.extract(wanted_.begin()).value();
    if (find(page) == nullptr) {
      pages.push_back(page);
    }
  }
  return pages;
}

void MappedMemory::map_wanted() {
  job_asked_ = false;
  std::uint64_t epoch = 0;
  for (auto pages = take_wanted(epoch); !pages.empty(); pages = take_wanted(epoch)) {
    std::array<MapToken, kMaxTogether> tokens{};
    std::array<Request, kMaxTogether> requests;
    for (std::size_t i = 0; i < pages.size(); ++i) {
      requests.at(i) = {.id = session_.numbers().map_token, .into = tokens.at(i)};
    }
    if (!session_.connection().exchange(std::span{requests}.first(pages.size()))) {
      return; // it has ended, or will soon
    }
    for (std::size_t i = 0; i < pages.size() && Clock::now() >= not_before_.load(); ++i) {
      const Request& request = requests.at(i);
      if (request.status != 0 || request.size < sizeof(MapToken)) {
        const auto kind =
            request.status == 0 ? ErrorKind::source_failed : kind_of_token_status(request.status);
        failed({kind, "kvmi", fmt::format("the VM gave no token (error {})", -request.status)}, pages[i]);
      } else {
        map_one(pages[i], tokens.at(i), epoch);
      }
    }
  }
}

/// Makes room for one page more.
bool MappedMemory::reserve(Gpa page, std::uint64_t epoch) {
  std::vector<std::shared_ptr<Mapping>> victims; // destroyed after the lock is released
  for (;;) {
    {
      const MutexLock lock{mutex_};
      if (epoch != epoch_ || !may_map() || find(page) != nullptr) {
        return false;
      }
      if (held_pages_ < max_pages_) {
        ++held_pages_;
        return true;
      }
      victims.push_back(take_oldest());
      if (victims.back() == nullptr) {
        return false; // readers use all of them
      }
    }
    victims.clear();
  }
}

void MappedMemory::release(std::size_t pages) {
  const MutexLock lock{mutex_};
  held_pages_ -= pages;
  released_.notify_all();
}

std::shared_ptr<MappedMemory::Mapping> MappedMemory::take_oldest() {
  const auto oldest =
      std::ranges::min_element(mappings_, {}, [](const auto& entry) { return entry.second->used.load(); });
  if (oldest == mappings_.end()) {
    return nullptr;
  }
  auto mapping = std::move(oldest->second);
  mappings_.erase(oldest);
  any_ = !mappings_.empty();
  return mapping;
}

void MappedMemory::map_one(Gpa page, const MapToken& token, std::uint64_t epoch) {
  if (!reserve(page, epoch)) {
    return;
  }
  const auto region = device_->map(token, page, max_pages_ * kPageSize);
  if (!region) {
    release(1);
    failed(region.error(), page);
    return;
  }
  std::vector<std::shared_ptr<Mapping>> victims; // destroyed after the lock is released
  auto mapping = std::make_shared<Mapping>(*this, *region);
  mapping->used = ++clock_;
  bool overlaps = false;
  {
    const MutexLock lock{mutex_};
    held_pages_ += pages_of(*region) - 1;
    const auto next = mappings_.upper_bound(region->range.begin);
    overlaps = next != mappings_.end() && next->second->region.range.begin < region->range.end;
    std::size_t room = held_pages_;
    while (room > max_pages_ && !mappings_.empty()) {
      victims.push_back(take_oldest());
      room -= pages_of(victims.back()->region);
    }
    if (!overlaps && epoch == epoch_ && may_map() && room <= max_pages_) {
      mappings_[region->range.end] = std::move(mapping);
      any_ = true;
    }
  }
  if (overlaps) {
    give_up("the device gave regions that overlap");
  }
}

void MappedMemory::failed(const Error& error, Gpa page) {
  log::debug("kvmi {}: {:#x} is not mapped: {}", printable(session_.greeting().name), page.value(),
             error.text);
  if (error.kind == ErrorKind::busy) {
    not_before_ = Clock::now() + kPauseAfterBusy;
  } else if (error.kind == ErrorKind::bad_page && ++failures_ < kMaxFailures) {
    hot_.refuse(page);
  } else {
    give_up(error.text);
  }
}

void MappedMemory::give_up(const std::string& why) {
  Mappings mappings; // destroyed after the lock is released
  const MutexLock lock{mutex_};
  off_ = true;
  if (off_reason_.empty()) {
    off_reason_ = why;
  }
  mappings.swap(mappings_);
  any_ = false;
}

void MappedMemory::unmap_unused() {
  std::vector<std::shared_ptr<Mapping>> victims; // destroyed after the lock is released
  const MutexLock lock{mutex_};
  std::erase_if(mappings_, [&](auto& entry) REQUIRES(mutex_) {
    const bool unused = entry.second->used <= last_sweep_;
    if (unused) {
      victims.push_back(std::move(entry.second));
    }
    return unused;
  });
  any_ = !mappings_.empty();
  last_sweep_ = clock_;
}

void MappedMemory::unmap_all() {
  Mappings mappings;
  {
    const MutexLock lock{mutex_};
    ++epoch_;
    mappings.swap(mappings_);
    wanted_.clear();
    any_ = false;
  }
  mappings.clear();
  hot_.forget_all();
  const MutexLock lock{mutex_};
  if (!released_.wait_for(mutex_, kMaxUnmapWait, [this]() REQUIRES(mutex_) { return held_pages_ == 0; })) {
    log::warning("kvmi {}: {} pages of the VM are still mapped", printable(session_.greeting().name),
                 held_pages_);
  }
}

void MappedMemory::suspend() {
  {
    const MutexLock lock{mutex_};
    ++suspended_;
  }
  unmap_all();
}

void MappedMemory::go_on() {
  const MutexLock lock{mutex_};
  --suspended_;
}

void MappedMemory::end() {
  off_ = true;
  unmap_all();
}

std::string MappedMemory::describe() const {
  const MutexLock lock{mutex_};
  if (!off_reason_.empty()) {
    return fmt::format("no page is mapped any more: {}", off_reason_);
  }
  return fmt::format("{} of at most {} pages are mapped ({})", held_pages_, max_pages_, device_->abi());
}

} // namespace vmemfs::kvmi
