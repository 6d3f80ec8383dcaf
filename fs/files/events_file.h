// SPDX-License-Identifier: MIT
// `.vmemfs/events`: events of the VMs, as they occur.
#pragma once

#include "fs/files/event_feed.h"
#include "fs/files/open_file.h"

#include <memory>
#include <utility>

namespace vmemfs {

/// A read gives what there is and ends; `tail -f` and poll(2) follow.
class EventsFile : public OpenFile {
public:
  /// `feed` must outlive the file.
  explicit EventsFile(EventFeed& feed) : feed_{feed}, reader_{feed.open()} {}
  ~EventsFile() override { feed_.close(reader_); }
  EventsFile(const EventsFile&) = delete;
  EventsFile& operator=(const EventsFile&) = delete;

  void read(Reply& reply, const ReadRequest& request) override {
    reply.text(feed_.read(reader_, request.size, request.offset));
  }
  void poll(Reply& reply, std::unique_ptr<PollHandle> handle) override {
    reply.poll(feed_.poll(reader_, std::move(handle)));
  }

private:
  EventFeed& feed_;
  const EventFeed::Reader reader_;
};

} // namespace vmemfs
