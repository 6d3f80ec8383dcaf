// SPDX-License-Identifier: MIT
#include "fs/files/batch/batch_answer.h"

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cstdint>
#include <cstring>
#include <memory>
#include <type_traits>

namespace vmemfs {
namespace {

constexpr std::string_view kHexDigits = "0123456789abcdef";
constexpr std::string_view kMaxLine = "0x0123456789abcdef 16777216 EIO \n";

/// A line of the table of a binary answer.
struct Entry {
  std::uint64_t address;
  std::uint32_t given; ///< bytes
  std::int32_t status; ///< 0 or an errno
};
static_assert(sizeof(Entry) == 16);

/// As a read of `mem`: the end of memory is no error, and all others are I/O errors.
bool failed(const ReadPiece& piece) { return piece.failure && piece.failure != ErrorKind::past_end; }

/// Appends to a buffer that has enough room.
class TextWriter {
public:
  explicit TextWriter(std::span<std::byte> room)
      : begin_{reinterpret_cast<char*>(room.data())}, end_{begin_ + room.size()}, here_{begin_} {}

  void add(std::string_view text) { here_ = std::ranges::copy(text, here_).out; }
  void add_number(std::size_t number) { here_ = std::to_chars(here_, end_, number).ptr; }
  void add_hex(std::byte byte) {
    *here_++ = kHexDigits[std::to_integer<std::size_t>(byte >> 4)];
    *here_++ = kHexDigits[std::to_integer<std::size_t>(byte & std::byte{15})];
  }
  [[nodiscard]] std::string_view text() const { return {begin_, here_}; }

private:
  char* begin_;
  char* end_;
  char* here_;
};

void add_address(TextWriter& text, Gpa gpa) {
  text.add("0x");
  for (unsigned shift = 64; shift > 0;) {
    shift -= 8;
    text.add_hex(static_cast<std::byte>(gpa.value() >> shift));
  }
}

/// Where the list of ranges begins: behind the bytes and what is made of them.
std::size_t pieces_at(const BatchRequest& request) {
  const std::size_t ranges = request.ranges.size();
  const std::size_t made = request.form == BatchForm::binary ? ranges * sizeof(Entry)
                                                             : ranges * kMaxLine.size() + 2 * request.bytes;
  return (request.bytes + made + alignof(ReadPiece) - 1) / alignof(ReadPiece) * alignof(ReadPiece);
}

std::span<ReadPiece> make_pieces(const BatchRequest& request, std::span<std::byte> memory) {
  static_assert(std::is_trivially_destructible_v<ReadPiece>, "nobody destroys them");
  auto* const pieces = reinterpret_cast<ReadPiece*>(memory.subspan(pieces_at(request)).data());
  ReadPiece* end = pieces;
  std::size_t at = 0;
  for (const BatchRange& range : request.ranges) {
    std::construct_at(end++, ReadPiece{range.gpa, memory.subspan(at, range.size), 0, std::nullopt});
    at += range.size;
  }
  return {pieces, end};
}

} // namespace

std::size_t BatchAnswer::memory_for(const BatchRequest& request) {
  return pieces_at(request) + request.ranges.size() * sizeof(ReadPiece);
}

BatchAnswer::BatchAnswer(const BatchRequest& request, std::span<std::byte> memory)
    : form_{request.form}, memory_{memory}, data_size_{request.bytes}, pieces_{make_pieces(request, memory)} {
}

tl::expected<std::size_t, ErrorKind> BatchAnswer::make(AddressSpace& guest_memory) {
  bytes_ = {};
  if (const auto read = guest_memory.read_each(pieces_); !read) {
    return tl::unexpected{read.error()};
  }
  switch (form_) {
  case BatchForm::binary: make_binary(); break;
  case BatchForm::text: make_text(); break;
  }
  std::size_t read = 0;
  for (const ReadPiece& piece : pieces_) {
    read += piece.done;
  }
  return read;
}

/// Bytes that were not read are zeros.
void BatchAnswer::make_binary() {
  std::byte* here = memory_.data() + data_size_;
  for (const ReadPiece& piece : pieces_) {
    std::ranges::fill(piece.buffer.subspan(piece.done), std::byte{0});
    const Entry entry{piece.gpa.value(), static_cast<std::uint32_t>(piece.done), failed(piece) ? EIO : 0};
    std::memcpy(here, &entry, sizeof entry);
    here += sizeof entry;
  }
  bytes_ = {reinterpret_cast<const char*>(memory_.data()), reinterpret_cast<const char*>(here)};
}

void BatchAnswer::make_text() {
  TextWriter text{memory_.subspan(data_size_)};
  for (const ReadPiece& piece : pieces_) {
    add_address(text, piece.gpa);
    text.add(" ");
    text.add_number(piece.done);
    text.add(failed(piece) ? " EIO" : " ok");
    if (piece.done > 0) {
      text.add(" ");
    }
    for (const std::byte byte : piece.buffer.first(piece.done)) {
      text.add_hex(byte);
    }
    text.add("\n");
  }
  bytes_ = text.text();
}

} // namespace vmemfs
