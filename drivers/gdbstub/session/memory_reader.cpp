// SPDX-License-Identifier: MIT
#include "drivers/gdbstub/session/memory_reader.h"

#include "drivers/qemu_protocol/gdb_packets.h"
#include "util/work_limit.h"

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <fmt/format.h>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace vmemfs::gdbstub {
namespace {

/// The bytes of a reply, at the start of `bytes`; nullopt: it has none.
std::optional<std::size_t> take_bytes(std::string_view reply, bool binary, std::span<std::byte> bytes) {
  if (is_error_reply(reply)) {
    return std::nullopt;
  }
  if (!binary && reply.find('*') == std::string_view::npos) {
    return parse_gdb_bytes(reply, bytes);
  }
  const auto expanded = expand_gdb_payload(reply, 2 * bytes.size() + 1);
  if (!expanded) {
    return std::nullopt;
  }
  if (!binary) {
    return parse_gdb_bytes(*expanded, bytes);
  }
  const std::string_view raw{*expanded};
  if (!raw.starts_with('b') || raw.size() - 1 > bytes.size()) {
    return std::nullopt;
  }
  if (raw.size() > 1) {
    std::memcpy(bytes.data(), raw.data() + 1, raw.size() - 1);
  }
  return raw.size() - 1;
}

class BatchRead {
public:
  BatchRead(ServerLink& link, const ReadForm& form, const MemoryMap& map, ReadSource& source)
      : link_{link}, form_{form}, map_{map}, source_{source} {}

  void run() {
    for (add_more(); !parts_.empty(); parts_.swap(again_), again_.clear()) {
      drop_needless();
      requests_.clear();
      for (const Part& part : parts_) {
        requests_.push_back(request_for(part));
      }
      answered_ = 0;
      const auto asked = link_.ask_all(
          requests_, [this](std::size_t index, std::string_view reply) { take(index, reply); },
          [this] { add_more(); });
      // A server may answer forever, with a byte at a time.
      const bool over = WorkLimit::over();
      if (!asked || over) {
        fail_rest(asked ? ErrorKind::timed_out : asked.error().kind, !over);
        return;
      }
    }
  }

private:
  /// What one request asks for.
  struct Part {
    SharedRead* read;
    ReadPiece* piece;
    std::size_t offset; ///< in the piece
    std::size_t size;
  };

  [[nodiscard]] static std::uint64_t address_of(const Part& part) {
    return (part.piece->gpa + part.offset).value();
  }
  [[nodiscard]] std::string request_for(const Part& part) const {
    return fmt::format("{}{:x},{:x}", form_.binary ? 'x' : 'm', address_of(part), part.size);
  }

  void add_more() {
    for (SharedRead* const read : source_.take()) {
      read->open = 1; // until all are planned
      for (ReadPiece& piece : read->pieces) {
        plan(*read, piece);
      }
      close(*read, true);
    }
  }

  /// `done` is where the piece ends at best; failures move it to lower offsets.
  void plan(SharedRead& read, ReadPiece& piece) {
    piece.done = piece.buffer.size();
    piece.failure.reset();
    for (std::size_t at = 0; at < piece.buffer.size();) {
      const auto stretch = map_.at(piece.gpa + at);
      if (stretch.region == nullptr) {
        fail_from(piece, at, ErrorKind::hole);
        return;
      }
      const std::size_t size = std::min<std::uint64_t>(
          {stretch.range.end - (piece.gpa + at), piece.buffer.size() - at, form_.bytes});
      parts_.push_back({&read, &piece, at, size});
      requests_.push_back(request_for(parts_.back()));
      ++read.open;
      at += size;
    }
  }

  static void fail_from(ReadPiece& piece, std::size_t offset, ErrorKind why) {
    if (offset < piece.done) {
      piece.done = offset;
      piece.failure = why;
    }
  }

  void close(SharedRead& read, bool in_time) {
    if (--read.open == 0) {
      source_.finished(read, in_time);
    }
  }

  /// A part of a piece that has failed at an earlier address would be read in vain.
  void drop_needless() {
    std::vector<SharedRead*> dropped;
    std::erase_if(parts_, [&](const Part& part) {
      const bool needless = part.offset >= part.piece->done;
      if (needless) {
        dropped.push_back(part.read);
      }
      return needless;
    });
    for (SharedRead* const read : dropped) {
      close(*read, true);
    }
  }

  void fail_rest(ErrorKind why, bool in_time) {
    parts_.erase(parts_.begin(), parts_.begin() + static_cast<std::ptrdiff_t>(answered_));
    parts_.insert(parts_.end(), again_.begin(), again_.end());
    for (const Part& part : parts_) {
      fail_from(*part.piece, part.offset, why);
    }
    for (const Part& part : parts_) {
      close(*part.read, in_time);
    }
  }

  void ask_again(const Part& part, std::size_t offset, std::size_t size) {
    again_.push_back({part.read, part.piece, part.offset + offset, size});
    ++part.read->open;
  }

  void take(std::size_t index, std::string_view reply) {
    if (index < answered_) {
      return; // the requests were sent again, and the read may be finished
    }
    answered_ = index + 1;
    const Part part = parts_[index];
    take_reply(part, reply);
    close(*part.read, true);
  }

  void take_reply(const Part& part, std::string_view reply) {
    const auto got = take_bytes(reply, form_.binary, part.piece->buffer.subspan(part.offset, part.size));
    if (got && *got > 0) { // it may be less than was asked for
      if (*got < part.size) {
        ask_again(part, *got, part.size - *got);
      }
      return;
    }
    // One unreadable page may have failed the whole request.
    const std::size_t in_page = kPageSize - address_of(part) % kPageSize;
    if (!is_error_reply(reply) || part.size <= in_page) {
      fail_from(*part.piece, part.offset,
                is_error_reply(reply) ? ErrorKind::bad_page : ErrorKind::source_failed);
      return;
    }
    for (std::size_t at = 0; at < part.size;) {
      const std::size_t size = std::min(part.size - at, at == 0 ? in_page : kPageSize);
      ask_again(part, at, size);
      at += size;
    }
  }

  ServerLink& link_;
  const ReadForm form_;
  const MemoryMap& map_;
  ReadSource& source_;
  std::vector<Part> parts_;
  std::vector<Part> again_;
  std::vector<std::string> requests_; ///< one for each of parts_
  std::size_t answered_ = 0;
};

} // namespace

void read_memory(ServerLink& link, const ReadForm& form, const MemoryMap& map, ReadSource& source) {
  BatchRead{link, form, map, source}.run();
}

} // namespace vmemfs::gdbstub
