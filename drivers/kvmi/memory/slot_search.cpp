// SPDX-License-Identifier: MIT
#include "drivers/kvmi/memory/slot_search.h"

#include <algorithm>
#include <fmt/format.h>
#include <map>
#include <optional>

namespace vmemfs::kvmi {
namespace {

constexpr std::string_view kOrigin = "kvmi";

/// As many as are on their way at the same time.
constexpr std::size_t kMaxTogether = 512;

/// Slots that are known, by their first address; none overlaps another.
class Slots {
public:
  [[nodiscard]] bool holds(Gpa page) const {
    const auto next = slots_.upper_bound(page);
    return next != slots_.begin() && page < std::prev(next)->second;
  }

  /// True if it is new.
  Result<bool> add(GpaRange slot) {
    const auto known = slots_.find(slot.begin);
    if (known != slots_.end() && known->second == slot.end) {
      return false;
    }
    const auto next = slots_.lower_bound(slot.begin);
    if ((next != slots_.end() && next->first < slot.end) || holds(slot.begin)) {
      return fail(ErrorKind::source_failed, kOrigin, "the VM gave memory slots that overlap");
    }
    if (slots_.size() >= kMaxRanges) {
      return fail(ErrorKind::source_failed, kOrigin, "the VM has more memory slots than any VM has");
    }
    slots_.emplace(slot.begin, slot.end);
    return true;
  }

  [[nodiscard]] const std::map<Gpa, Gpa>& all() const { return slots_; }

private:
  std::map<Gpa, Gpa> slots_; ///< begin to end
};

/// `slot` as far as it is below `end`. It must hold the page that was asked for.
Result<GpaRange> checked(GpaRange slot, Gpa page, Gpa end) {
  if (!slot.contains(page) || slot.begin.page_offset() != 0 || slot.end.page_offset() != 0) {
    return fail(ErrorKind::source_failed, kOrigin,
                fmt::format("the VM gave a memory slot without the address that was asked for ({:#x})",
                            page.value()));
  }
  return GpaRange{slot.begin, std::min(slot.end, end)};
}

/// At most kMaxTogether of them, spread evenly, so that large slots answer for the rest soon.
std::vector<Gpa> some_of(const std::vector<Gpa>& pages) {
  const std::size_t count = std::min(pages.size(), kMaxTogether);
  std::vector<Gpa> some;
  some.reserve(count);
  for (std::size_t i = 0; i < count; ++i) {
    some.push_back(pages[i * pages.size() / count]);
  }
  return some;
}

/// Asks for some of `open`, and takes away those that are answered.
Result<void> ask_round(std::vector<Gpa>& open, Slots& slots, Gpa end, const AskSlots& ask) {
  const std::vector<Gpa> asked = some_of(open);
  std::vector<GpaRange> answers(asked.size());
  if (auto done = ask(asked, answers); !done) {
    return done;
  }
  std::vector<Gpa> beside;
  for (std::size_t i = 0; i < asked.size(); ++i) {
    if (answers[i].empty()) {
      continue;
    }
    const auto slot = checked(answers[i], asked[i], end);
    const auto added = slot ? slots.add(*slot) : tl::unexpected{slot.error()};
    if (!added) {
      return tl::unexpected{added.error()};
    }
    if (*added && slot->begin > Gpa{0}) {
      beside.emplace_back(slot->begin.value() - kPageSize);
    }
    if (*added && slot->end < end) {
      beside.push_back(slot->end);
    }
  }
  std::erase_if(open, [&](Gpa page) { return std::ranges::binary_search(asked, page) || slots.holds(page); });
  std::erase_if(beside, [&](Gpa page) { return slots.holds(page); });
  open.insert(open.end(), beside.begin(), beside.end());
  std::ranges::sort(open);
  open.erase(std::ranges::unique(open).begin(), open.end());
  return {};
}

/// The slots that can be read at both ends and in the middle.
Result<std::vector<GpaRange>> readable_slots(const Slots& slots, const TryPages& try_pages) {
  constexpr std::size_t kSamples = 3;
  std::vector<Gpa> samples;
  for (const auto& [begin, end] : slots.all()) {
    samples.push_back(begin);
    samples.push_back((begin + (end - begin) / 2).page_start());
    samples.emplace_back(end.value() - kPageSize);
  }
  std::vector<std::uint8_t> present(samples.size());
  if (auto tried = try_pages(samples, present); !tried) {
    return tl::unexpected{tried.error()};
  }
  std::vector<GpaRange> ranges;
  std::span<const std::uint8_t> rest{present};
  for (const auto& [begin, end] : slots.all()) {
    const auto readable = std::ranges::count(rest.first(kSamples), std::uint8_t{1});
    rest = rest.subspan(kSamples);
    if (readable != 0 && readable != kSamples) {
      return fail(ErrorKind::source_failed, kOrigin,
                  fmt::format("the memory slot at {:#x} is not of the size that the VM says", begin.value()));
    }
    if (readable != 0) {
      ranges.push_back({begin, end});
    }
  }
  return ranges;
}

} // namespace

Result<std::vector<GpaRange>> find_slots(std::uint64_t end, const AskSlots& ask, const TryPages& try_pages) {
  Slots slots;
  std::vector<Gpa> open = first_tried(end);
  while (!open.empty()) {
    if (auto done = ask_round(open, slots, Gpa{end}, ask); !done) {
      return tl::unexpected{std::move(done.error())};
    }
  }
  const auto found = readable_slots(slots, try_pages);
  if (!found) {
    return tl::unexpected{found.error()};
  }
  std::vector<GpaRange> ranges;
  for (const GpaRange& slot : *found) {
    if (!ranges.empty() && ranges.back().end == slot.begin) {
      ranges.back().end = slot.end;
    } else {
      ranges.push_back(slot);
    }
  }
  return ranges;
}

} // namespace vmemfs::kvmi
