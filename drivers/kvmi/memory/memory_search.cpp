// SPDX-License-Identifier: MIT
#include "drivers/kvmi/memory/memory_search.h"

#include "core/text.h"
#include "drivers/kvmi/memory/memory_probe.h"
#include "drivers/kvmi/memory/page_requests.h"
#include "drivers/kvmi/memory/slot_search.h"
#include "drivers/kvmi/wire/slot.h"
#include "util/log.h"
#include "util/work_limit.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <fmt/format.h>
#include <utility>

namespace vmemfs::kvmi {
namespace {

using Head = std::array<std::byte, kSlotHeadSize>;
using Slot = std::array<std::byte, kSlotReplySize>;

bool is_hole(std::int32_t status) { return status == -ENOENT || status == -EFAULT || status == -EINVAL; }

Result<void> ask_part(Session& session, std::span<const Gpa> pages, std::span<GpaRange> slots) {
  std::array<Request, Connection::kMaxInFlight> requests;
  std::array<Head, Connection::kMaxInFlight> heads;   // NOLINT(*-member-init)
  std::array<Slot, Connection::kMaxInFlight> replies; // NOLINT(*-member-init)
  for (std::size_t i = 0; i < pages.size(); ++i) {
    heads.at(i) = slot_head(pages[i]);
    requests.at(i) = {.id = session.numbers().query_physical, .head = heads.at(i), .into = replies.at(i)};
  }
  if (auto done = session.connection().exchange(std::span{requests}.first(pages.size())); !done) {
    return done;
  }
  for (std::size_t i = 0; i < pages.size(); ++i) {
    const Request& request = requests.at(i);
    slots[i] = {};
    if (is_hole(request.status)) {
      continue;
    }
    if (request.status != 0) {
      return tl::unexpected{refused("ask for its memory slots", request.status)};
    }
    const auto slot =
        parse_slot_reply(std::span{replies.at(i)}.first(std::min(request.size, kSlotReplySize)));
    if (!slot) {
      return tl::unexpected{slot.error()};
    }
    slots[i] = *slot;
  }
  return {};
}

Result<void> ask_slots(Session& session, std::span<const Gpa> pages, std::span<GpaRange> slots) {
  while (!pages.empty()) {
    const std::size_t count = std::min(pages.size(), Connection::kMaxInFlight);
    if (auto done = ask_part(session, pages.first(count), slots.first(count)); !done) {
      return done;
    }
    pages = pages.subspan(count);
    slots = slots.subspan(count);
  }
  return {};
}

} // namespace

Result<FoundMemory> search_memory(Session& session, std::uint64_t end) {
  const WorkLimit limit{WorkLimit::Clock::now() + kMaxSearchTime};
  const auto try_them = [&](std::span<const Gpa> pages, std::span<std::uint8_t> present) {
    return try_pages(session, pages, present);
  };
  std::string why = "KVMI has only the end of memory";
  if (session.has_query()) {
    auto slots = find_slots(
        end,
        [&](std::span<const Gpa> pages, std::span<GpaRange> found) {
          return ask_slots(session, pages, found);
        },
        try_them);
    if (slots) {
      return FoundMemory{std::move(*slots), "memory slots by QUERY_PHYSICAL"};
    }
    if (session.ended() || WorkLimit::over()) {
      return tl::unexpected{std::move(slots.error())};
    }
    why = slots.error().text;
    log::debug("kvmi {}: no memory slots: {}", printable(session.greeting().name), why);
  }
  auto ranges = find_memory(end, try_them);
  if (!ranges) {
    return tl::unexpected{std::move(ranges.error())};
  }
  return FoundMemory{std::move(*ranges), fmt::format("found by trying pages: {}", why)};
}

} // namespace vmemfs::kvmi
