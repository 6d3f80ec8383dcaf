// SPDX-License-Identifier: MIT
#include "fs/files/event_feed.h"

#include "fs/files/text/event_text.h"

#include <algorithm>
#include <iterator>
#include <poll.h>
#include <string_view>
#include <utility>

namespace vmemfs {

std::shared_ptr<EventFeed> EventFeed::create(EventLog& log) {
  std::shared_ptr<EventFeed> feed{new EventFeed{log}};
  log.add_listener(feed);
  return feed;
}

EventFeed::Reader EventFeed::open() {
  const MutexLock lock{mutex_};
  catch_up();
  const Reader reader = next_reader_++;
  readers_.emplace(reader, State{});
  return reader;
}

void EventFeed::close(Reader reader) {
  std::unique_ptr<PollHandle> handle; // destroyed after the lock is released
  const MutexLock lock{mutex_};
  const auto found = readers_.find(reader);
  if (found != readers_.end()) {
    handle = std::move(found->second.poll_handle);
    readers_.erase(found);
  }
}

std::size_t EventFeed::readers() const {
  const MutexLock lock{mutex_};
  return readers_.size();
}

// ---- the text

std::uint64_t EventFeed::size() {
  const MutexLock lock{mutex_};
  catch_up();
  return end_;
}

/// Takes over what the log has by now.
void EventFeed::catch_up() {
  const EventLog::Part part = log_.read(next_, EventLog::kMaxKept);
  if (part.missed > 0) {
    const Time time = part.events.front()->time;
    add(part.missed, time, missed_line(part.missed, time));
  }
  for (const auto& event : part.events) {
    add(1, event->time, event_line(*event));
    next_ = event->number + 1;
  }
  drop_oldest();
  if (readers_.empty() && dropped_ > 0) {
    start_again();
  }
}

void EventFeed::add(std::uint64_t events, Time time, std::string text) {
  const std::size_t size = text.size();
  lines_.push_back({end_, events, time, std::move(text)});
  bytes_ += size;
  end_ += size;
}

/// Leaves room for the line that may come to stand for what is dropped.
void EventFeed::drop_oldest() {
  constexpr std::size_t kRoom = 4096;
  if (lines_.size() <= kMaxLines + 1 && bytes_ <= kMaxBytes) {
    return;
  }
  while (lines_.size() > 1 && (lines_.size() > kMaxLines || bytes_ > kMaxBytes - kRoom)) {
    dropped_ += lines_.front().events;
    bytes_ -= lines_.front().text.size();
    lines_.pop_front();
  }
}

/// Nobody has a position in the text: it begins with what is there.
void EventFeed::start_again() {
  std::deque<Line> lines = std::exchange(lines_, {});
  bytes_ = 0;
  end_ = 0;
  const Time time = lines.front().time;
  add(dropped_, time, missed_line(dropped_, time));
  dropped_ = 0;
  for (Line& line : lines) {
    add(line.events, line.time, std::move(line.text));
  }
}

std::string EventFeed::text_at(std::uint64_t position, std::size_t max_bytes) const {
  std::string text;
  auto line = std::ranges::upper_bound(lines_, position, {}, &Line::begin);
  if (line == lines_.begin()) {
    return text;
  }
  std::size_t skip = position - (--line)->begin;
  for (; line != lines_.end() && text.size() < max_bytes; ++line, skip = 0) {
    if (skip < line->text.size()) {
      text += std::string_view{line->text}.substr(skip, max_bytes - text.size());
    }
  }
  return text;
}

/// Whole lines before that position.
std::uint64_t EventFeed::events_before(std::uint64_t position) const {
  std::uint64_t events = dropped_;
  for (const Line& line : lines_) {
    if (line.begin + line.text.size() > position) {
      break;
    }
    events += line.events;
  }
  return events;
}

// ---- readers

/// Of what this reader gets at `offset`.
std::uint64_t EventFeed::position(const State& state, std::uint64_t offset) const {
  if (!state.notice || offset < state.notice->offset) {
    return offset;
  }
  const std::uint64_t behind = state.notice->offset + state.notice->text.size();
  return state.notice->position + (std::max(offset, behind) - behind);
}

/// For a reader that comes to lines that were dropped. It gets the rest of a line that it has begun.
void EventFeed::make_notice(State& state, std::uint64_t offset) {
  const bool continues = offset > 0 && offset == state.next_offset;
  std::string text = continues ? state.rest : std::string{};
  const std::uint64_t seen = continues ? state.events : 0;
  const std::uint64_t missed = dropped_ - std::min(dropped_, seen);
  if (missed > 0) {
    text += missed_line(missed, lines_.front().time);
    missed_.add(missed);
  }
  state.notice = Notice{offset, std::move(text), begin()};
}

void EventFeed::note_read(State& state, std::uint64_t next_offset) {
  const std::uint64_t next = position(state, next_offset);
  state.next_offset = next_offset;
  state.events = events_before(next);
  const auto line = std::ranges::upper_bound(lines_, next, {}, &Line::begin);
  state.rest.clear();
  if (state.notice && next_offset - state.notice->offset < state.notice->text.size()) {
    state.rest = state.notice->text.substr(next_offset - state.notice->offset);
  } else if (line != lines_.begin()) {
    const Line& current = *std::prev(line);
    const std::uint64_t within = next - current.begin;
    if (within > 0 && within < current.text.size()) {
      state.rest = current.text.substr(within);
      state.events += current.events;
    }
  }
}

std::string EventFeed::read(Reader reader, std::size_t max_bytes, std::uint64_t offset) {
  const MutexLock lock{mutex_};
  const auto found = readers_.find(reader);
  if (found == readers_.end()) {
    return {};
  }
  catch_up();
  State& state = found->second;
  // Who goes elsewhere, such as to the end, has a position in the text again.
  if (state.notice && (offset < state.notice->offset || offset > state.next_offset)) {
    state.notice.reset();
  }
  if (position(state, offset) < begin()) {
    make_notice(state, offset);
  }
  std::string text;
  if (state.notice && offset - state.notice->offset < state.notice->text.size()) {
    text = state.notice->text.substr(offset - state.notice->offset, max_bytes);
  }
  if (text.size() < max_bytes) {
    text += text_at(position(state, offset), max_bytes - text.size());
  }
  note_read(state, offset + text.size());
  return text;
}

unsigned EventFeed::poll(Reader reader, std::unique_ptr<PollHandle> handle) {
  const MutexLock lock{mutex_};
  const auto found = readers_.find(reader);
  if (ended_ || found == readers_.end()) {
    return POLLIN | POLLRDNORM | POLLHUP;
  }
  catch_up();
  State& state = found->second;
  // One handle serves all who poll this file. Kept even if there is something to read: who waits for the next
  // edge (EPOLLET) does not ask again.
  if (handle != nullptr) {
    std::swap(state.poll_handle, handle);
  }
  return position(state, state.next_offset) < end_ ? POLLIN | POLLRDNORM : 0;
}

void EventFeed::on_events() {
  if (!posted_.exchange(true)) {
    worker_.post([this] {
      posted_ = false; // events from here on post another job
      notify();
    });
  }
}

void EventFeed::notify() {
  std::vector<std::unique_ptr<PollHandle>> handles;
  {
    const MutexLock lock{mutex_};
    for (auto& [reader, state] : readers_) {
      if (state.poll_handle != nullptr) {
        handles.push_back(std::move(state.poll_handle));
      }
    }
  }
  for (const auto& handle : handles) {
    handle->notify();
  }
}

void EventFeed::end() {
  {
    const MutexLock lock{mutex_};
    ended_ = true;
  }
  worker_.stop(); // it may be notifying now
  notify();
}

} // namespace vmemfs
