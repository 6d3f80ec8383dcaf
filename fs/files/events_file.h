// SPDX-License-Identifier: MIT
// `.vmemfs/events`: events of the VMs, as they occur.
#pragma once

#include "fs/files/event_readers.h"
#include "fs/files/open_file.h"

#include <memory>

namespace vmemfs {

/// Each handle gets the events since it was opened, as a stream of whole lines without offsets.
class EventsFile : public OpenFile {
public:
  /// `readers` must outlive the file.
  explicit EventsFile(EventReaders& readers) : readers_{readers}, reader_{readers.add()} {}
  ~EventsFile() override { readers_.remove(reader_); }
  EventsFile(const EventsFile&) = delete;
  EventsFile& operator=(const EventsFile&) = delete;

  void read(Reply& reply, const ReadRequest& request) override { readers_.read(reader_, reply, request); }
  void poll(Reply& reply, std::unique_ptr<PollHandle> handle) override {
    readers_.poll(reader_, reply, std::move(handle));
  }

private:
  EventReaders& readers_;
  const EventReaders::Id reader_;
};

} // namespace vmemfs
