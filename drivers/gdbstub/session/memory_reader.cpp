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

/// What one request asks for.
struct Part {
  std::size_t piece;
  std::size_t offset; ///< in the piece
  std::size_t size;
};

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
  BatchRead(ServerLink& link, const ReadForm& form, const MemoryMap& map, std::span<ReadPiece> pieces)
      : link_{link}, form_{form}, pieces_{pieces} {
    for (std::size_t i = 0; i < pieces.size(); ++i) {
      plan(i, map);
    }
  }

  void run() {
    while (!parts_.empty()) {
      // A part of a piece that has failed at an earlier address would be read in vain.
      const auto needless = [this](const Part& part) { return part.offset >= pieces_[part.piece].done; };
      std::erase_if(parts_, needless);
      requests_.clear();
      for (const Part& part : parts_) {
        const std::uint64_t address = (pieces_[part.piece].gpa + part.offset).value();
        requests_.push_back(fmt::format("{}{:x},{:x}", form_.binary ? 'x' : 'm', address, part.size));
      }
      again_.clear();
      answered_ = 0;
      const auto asked =
          link_.ask_all(requests_, [this](std::size_t index, std::string_view reply) { take(index, reply); });
      if (!asked) {
        for (std::size_t i = answered_; i < parts_.size(); ++i) {
          fail_from(parts_[i].piece, parts_[i].offset, asked.error().kind);
        }
      }
      parts_.swap(again_);
      // A server may answer forever, with a byte at a time.
      if (!asked || WorkLimit::over()) {
        for (const Part& part : parts_) {
          fail_from(part.piece, part.offset, asked ? ErrorKind::timed_out : asked.error().kind);
        }
        return;
      }
    }
  }

private:
  /// `done` is where the piece ends at best; failures move it to lower offsets.
  void plan(std::size_t index, const MemoryMap& map) {
    ReadPiece& piece = pieces_[index];
    piece.done = piece.buffer.size();
    piece.failure.reset();
    for (std::size_t at = 0; at < piece.buffer.size();) {
      const auto stretch = map.at(piece.gpa + at);
      if (stretch.region == nullptr) {
        fail_from(index, at, ErrorKind::hole);
        return;
      }
      const std::size_t size = std::min<std::uint64_t>(
          {stretch.range.end - (piece.gpa + at), piece.buffer.size() - at, form_.bytes});
      parts_.push_back({index, at, size});
      at += size;
    }
  }

  void fail_from(std::size_t index, std::size_t offset, ErrorKind why) {
    ReadPiece& piece = pieces_[index];
    if (offset < piece.done) {
      piece.done = offset;
      piece.failure = why;
    }
  }

  void take(std::size_t index, std::string_view reply) {
    const Part part = parts_[index];
    answered_ = index + 1;
    const auto got =
        take_bytes(reply, form_.binary, pieces_[part.piece].buffer.subspan(part.offset, part.size));
    if (got && *got > 0) { // it may be less than was asked for
      if (*got < part.size) {
        again_.push_back({part.piece, part.offset + *got, part.size - *got});
      }
      return;
    }
    // One unreadable page may have failed the whole request.
    const std::uint64_t address = (pieces_[part.piece].gpa + part.offset).value();
    const std::size_t in_page = kPageSize - address % kPageSize;
    if (!is_error_reply(reply) || part.size <= in_page) {
      fail_from(part.piece, part.offset,
                is_error_reply(reply) ? ErrorKind::bad_page : ErrorKind::source_failed);
      return;
    }
    for (std::size_t at = 0; at < part.size;) {
      const std::size_t size = std::min(part.size - at, at == 0 ? in_page : kPageSize);
      again_.push_back({part.piece, part.offset + at, size});
      at += size;
    }
  }

  ServerLink& link_;
  const ReadForm form_;
  const std::span<ReadPiece> pieces_;
  std::vector<Part> parts_;
  std::vector<Part> again_;
  std::vector<std::string> requests_;
  std::size_t answered_ = 0;
};

} // namespace

void read_memory(ServerLink& link, const ReadForm& form, const MemoryMap& map, std::span<ReadPiece> pieces) {
  BatchRead{link, form, map, pieces}.run();
}

} // namespace vmemfs::gdbstub
