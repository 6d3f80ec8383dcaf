// SPDX-License-Identifier: MIT
#include "drivers/kvmi/memory/page_requests.h"

#include "drivers/kvmi/wire/bytes.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <fmt/format.h>
#include <utility>

namespace vmemfs::kvmi {
namespace {

constexpr std::string_view kOrigin = "kvmi";

// READ_PHYSICAL and WRITE_PHYSICAL: address, size. v12's size has 16 bits, with padding that is 0, so a
// page's size looks the same in both.
constexpr std::size_t kHeadSize = 16;
constexpr std::size_t kSizeAt = 8;

using Head = std::array<std::byte, kHeadSize>;

Head memory_head(Gpa gpa, std::size_t size) {
  Head head; // NOLINT(*-member-init)
  store_le<std::uint64_t>(head, 0, gpa.value());
  store_le<std::uint64_t>(head, kSizeAt, size);
  return head;
}

std::size_t left_in_page(Gpa gpa) { return static_cast<std::size_t>(kPageSize - gpa.page_offset()); }

/// Parts of pieces that are read together, on the stack of the reader: by requests, or copied at once.
class ReadBatch {
public:
  ReadBatch(Session& session, MappedMemory* mapped, std::span<ReadPiece> pieces)
      : session_{session}, mapped_{mapped}, pieces_{pieces} {}

  [[nodiscard]] bool full() const { return count_ == parts_.size(); }

  void add(std::size_t piece, Gpa gpa, std::span<std::byte> into) {
    Part& part = parts_.at(count_++);
    part = {static_cast<std::uint32_t>(piece), into.size(), nullptr};
    if (mapped_ == nullptr || !mapped_->copy(gpa, into)) {
      heads_.at(asked_) = memory_head(gpa, into.size());
      requests_.at(asked_) = {.id = session_.numbers().read, .head = heads_.at(asked_), .into = into};
      part.request = &requests_.at(asked_++);
    }
  }

  /// False if the session failed: the pieces have what was read by then.
  bool run() {
    const auto done = session_.connection().exchange(std::span{requests_}.first(asked_));
    for (const Part& part : std::span{parts_}.first(count_)) {
      take(part, pieces_[part.piece], done ? ErrorKind::source_failed : done.error().kind);
    }
    count_ = 0;
    asked_ = 0;
    return done.has_value();
  }

private:
  struct Part {
    std::uint32_t piece;
    std::size_t size;
    const Request* request; ///< null: it is copied
  };

  void take(const Part& part, ReadPiece& piece, ErrorKind failure) {
    if (piece.failure) {
      return; // something before it was not read
    }
    const Request* const request = part.request;
    if (request == nullptr) {
      piece.done += part.size;
    } else if (request->complete && request->status == 0 && request->size >= part.size) {
      if (mapped_ != nullptr) {
        mapped_->was_read(piece.gpa + piece.done);
      }
      piece.done += part.size;
    } else {
      const bool no_page = request->status == -ENOENT || request->status == -EFAULT;
      piece.failure = request->complete && no_page ? ErrorKind::bad_page : failure;
    }
  }

  Session& session_;
  MappedMemory* const mapped_;
  const std::span<ReadPiece> pieces_;
  std::size_t count_ = 0;
  std::size_t asked_ = 0;
  std::array<Part, Connection::kMaxInFlight> parts_; // NOLINT(*-member-init)
  std::array<Request, Connection::kMaxInFlight> requests_{};
  std::array<Head, Connection::kMaxInFlight> heads_; // NOLINT(*-member-init)
};

/// Bytes of the piece from its begin on that the map has.
std::size_t mapped_size(const MemoryMap& map, const ReadPiece& piece) {
  std::uint64_t size = 0;
  while (size < piece.buffer.size() && piece.gpa < Gpa{kGpaLimit - size}) {
    const auto stretch = map.at(piece.gpa + size);
    if (stretch.region == nullptr) {
      break;
    }
    size += stretch.range.size();
  }
  return std::min<std::size_t>(size, piece.buffer.size());
}

} // namespace

void read_pieces(Session& session, const MemoryMap& map, MappedMemory* mapped, std::span<ReadPiece> pieces) {
  ReadBatch batch{session, mapped, pieces};
  for (ReadPiece& piece : pieces) {
    piece.done = 0;
    piece.failure.reset();
  }
  bool good = true;
  for (std::size_t i = 0; i < pieces.size() && good; ++i) {
    ReadPiece& piece = pieces[i];
    const std::size_t size = mapped_size(map, piece);
    for (std::size_t at = 0; at < size && good;) {
      const Gpa gpa = piece.gpa + at;
      const std::size_t part = std::min(left_in_page(gpa), size - at);
      batch.add(i, gpa, piece.buffer.subspan(at, part));
      at += part;
      if (batch.full()) {
        good = batch.run();
      }
    }
  }
  if (good) {
    good = batch.run();
  }
  for (ReadPiece& piece : pieces) {
    if (piece.done < piece.buffer.size() && !piece.failure) {
      piece.failure =
          good || piece.done == mapped_size(map, piece) ? ErrorKind::hole : ErrorKind::source_failed;
    }
  }
}

WriteOutcome write_pages(Session& session, Gpa gpa, std::span<const std::byte> bytes) {
  constexpr std::size_t kTogether = 64;
  WriteOutcome outcome;
  while (outcome.done < bytes.size() && !outcome.failure) {
    std::array<Request, kTogether> requests;
    std::array<Head, kTogether> heads; // NOLINT(*-member-init)
    std::size_t count = 0;
    for (std::size_t at = outcome.done; at < bytes.size() && count < kTogether; ++count) {
      const std::size_t part = std::min(left_in_page(gpa + at), bytes.size() - at);
      heads.at(count) = memory_head(gpa + at, part);
      requests.at(count) = {
          .id = session.numbers().write, .head = heads.at(count), .bytes = bytes.subspan(at, part)};
      at += part;
    }
    const auto done = session.connection().exchange(std::span{requests}.first(count));
    for (std::size_t i = 0; i < count && !outcome.failure; ++i) {
      const Request& request = requests.at(i);
      if (request.complete && request.status == 0) {
        outcome.done += request.bytes.size();
      } else if (!request.complete) {
        outcome.failure = done ? refused("write memory", -EIO) : done.error();
      } else if (request.status == -ENOENT) {
        outcome.failure = Error{ErrorKind::hole, std::string{kOrigin},
                                fmt::format("the VM has no memory at {:#x}", (gpa + outcome.done).value())};
      } else {
        outcome.failure =
            refused(fmt::format("write memory at {:#x}", (gpa + outcome.done).value()), request.status);
      }
    }
  }
  return outcome;
}

Result<void> try_pages(Session& session, std::span<const Gpa> pages, std::span<std::uint8_t> present) {
  while (!pages.empty()) {
    const std::size_t count = std::min(pages.size(), Connection::kMaxInFlight);
    std::array<Request, Connection::kMaxInFlight> requests;
    std::array<Head, Connection::kMaxInFlight> heads; // NOLINT(*-member-init)
    for (std::size_t i = 0; i < count; ++i) {
      heads.at(i) = memory_head(pages[i], 1);
      requests.at(i) = {.id = session.numbers().read, .head = heads.at(i)};
    }
    if (auto done = session.connection().exchange(std::span{requests}.first(count)); !done) {
      return done;
    }
    for (std::size_t i = 0; i < count; ++i) {
      const std::int32_t status = requests.at(i).status;
      if (status != 0 && status != -ENOENT && status != -EFAULT) {
        return tl::unexpected{refused("search for its memory", status)};
      }
      present[i] = status == 0 ? 1 : 0;
    }
    pages = pages.subspan(count);
    present = present.subspan(count);
  }
  return {};
}

} // namespace vmemfs::kvmi
