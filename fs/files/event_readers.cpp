// SPDX-License-Identifier: MIT
#include "fs/files/event_readers.h"

#include "fs/files/text/event_text.h"

#include <algorithm>
#include <poll.h>
#include <utility>

namespace vmemfs {
namespace {

/// Max size of an answer. Below the size of one kernel request, so that a read that takes several requests
/// ends with a short answer instead of waiting while it already has events.
constexpr std::size_t kMaxAnswer = std::size_t{64} << 10U;

} // namespace

std::shared_ptr<EventReaders> EventReaders::create(EventLog& log) {
  std::shared_ptr<EventReaders> readers{new EventReaders{log}};
  log.add_listener(readers);
  return readers;
}

EventReaders::Id EventReaders::add() {
  const MutexLock lock{mutex_};
  const Id id = next_id_++;
  readers_.emplace(id, Reader{.next = log_.end()});
  return id;
}

void EventReaders::remove(Id id) {
  std::list<Waiting> waiting; // destroyed, and so answered, after the lock is released
  const MutexLock lock{mutex_};
  const auto found = readers_.find(id);
  if (found != readers_.end()) {
    waiting = std::move(found->second.waiting);
    readers_.erase(found);
  }
}

std::size_t EventReaders::count() const {
  const MutexLock lock{mutex_};
  return readers_.size();
}

bool EventReaders::readable(const Reader& reader) const {
  return ended_ || !reader.rest.empty() || reader.next < log_.end();
}

/// The bytes that a read of `size` gets now; empty if there are none.
std::string EventReaders::take(Reader& reader, std::size_t size) {
  const std::size_t room = std::min(size, kMaxAnswer);
  std::string text = std::exchange(reader.rest, {});
  while (text.size() < room) {
    const EventLog::Part part = log_.read(reader.next, 1);
    if (part.events.empty()) {
      break;
    }
    const Event& event = *part.events.front();
    const bool overtaken = part.missed > 0;
    const std::string line = overtaken ? missed_line(part.missed, event.time) : event_line(event);
    if (!text.empty() && text.size() + line.size() > room) {
      break;
    }
    text += line;
    missed_.add(part.missed);
    reader.next = overtaken ? event.number : event.number + 1;
  }
  if (text.size() > room) {
    reader.rest = text.substr(room);
    text.resize(room);
  }
  return text;
}

void EventReaders::read(Id id, Reply& reply, const ReadRequest& request) {
  if (!request.without_waiting) {
    reply.on_interrupt(*this);
  }
  std::string text;
  ErrorKind failure = ErrorKind::vm_gone;
  {
    const MutexLock lock{mutex_};
    const auto found = readers_.find(id);
    if (!ended_ && found != readers_.end()) {
      text = take(found->second, request.size);
      // An earlier interruption is seen here, a later one finds the request in the list.
      if (text.empty() && !request.without_waiting && !reply.interrupted()) {
        found->second.waiting.push_back({reply.keep(), request.size});
        return;
      }
      failure = request.without_waiting ? ErrorKind::would_block : ErrorKind::interrupted;
    }
  }
  if (text.empty()) {
    reply.error(failure);
  } else {
    reply.text(text);
  }
}

void EventReaders::poll(Id id, Reply& reply, std::unique_ptr<PollHandle> handle) {
  unsigned events = 0;
  {
    const MutexLock lock{mutex_};
    const auto found = readers_.find(id);
    if (ended_ || found == readers_.end()) {
      events = POLLIN | POLLRDNORM | POLLHUP;
    } else {
      events = readable(found->second) ? POLLIN | POLLRDNORM : 0;
      if (handle != nullptr) { // one handle serves all who poll this file
        std::swap(found->second.poll_handle, handle);
      }
    }
  }
  reply.poll(events);
}

// ---- answering later

void EventReaders::on_events() {
  if (!posted_.exchange(true)) {
    post_answers();
  }
}

void EventReaders::post_answers() {
  worker_.post([this] {
    posted_ = false; // events from here on post another job
    collect().give();
  });
}

/// libfuse calls it with a lock of the request held, so the worker answers.
void EventReaders::on_interrupt(const void* reply) {
  {
    const MutexLock lock{mutex_};
    for (auto& [id, reader] : readers_) {
      const auto found = std::ranges::find(reader.waiting, reply,
                                           [](const Waiting& waiting) { return waiting.reply->id(); });
      if (found != reader.waiting.end()) {
        interrupted_.splice(interrupted_.end(), reader.waiting, found);
        break;
      }
    }
    if (interrupted_.empty()) {
      return; // it has just been answered
    }
  }
  post_answers();
}

void EventReaders::collect_from(Reader& reader, Answers& answers) {
  if (!readable(reader)) {
    return;
  }
  if (reader.poll_handle != nullptr) {
    answers.polls.push_back(std::move(reader.poll_handle));
  }
  if (ended_) {
    answers.ended.splice(answers.ended.end(), reader.waiting);
  }
  while (!reader.waiting.empty() && readable(reader)) {
    Waiting& waiting = reader.waiting.front();
    std::string text = take(reader, waiting.size);
    answers.texts.push_back({std::move(waiting.reply), std::move(text)});
    reader.waiting.pop_front();
  }
}

EventReaders::Answers EventReaders::collect() {
  Answers answers;
  const MutexLock lock{mutex_};
  answers.interrupted = std::move(interrupted_);
  interrupted_.clear();
  for (auto& [id, reader] : readers_) {
    collect_from(reader, answers);
  }
  return answers;
}

void EventReaders::Answers::give() {
  for (Text& answer : texts) {
    answer.reply->text(answer.text);
  }
  for (Waiting& waiting : interrupted) {
    waiting.reply->error(ErrorKind::interrupted);
  }
  for (Waiting& waiting : ended) {
    waiting.reply->error(ErrorKind::vm_gone);
  }
  for (const auto& handle : polls) {
    handle->notify();
  }
}

void EventReaders::end() {
  {
    const MutexLock lock{mutex_};
    ended_ = true;
  }
  worker_.stop(); // it may be answering now
  collect().give();
}

} // namespace vmemfs
