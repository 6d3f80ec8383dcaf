// SPDX-License-Identifier: MIT
#include "linux/printk/log_ring.h"

#include "linux/printk/log_text.h"
#include "linux/printk/ring_layout.h"
#include "linux/printk/ring_texts.h"

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

namespace vmemfs {
namespace {

/// A state has the number of its descriptor in the other bits.
constexpr unsigned kStateShift = 62;
constexpr std::uint64_t kIdMask = (std::uint64_t{1} << kStateShift) - 1;
/// The values of the format.
enum class State : std::uint8_t { reserved = 0, committed = 1, finalized = 2, reusable = 3 };

template <typename T> T number_at(std::span<const std::byte> bytes, std::size_t offset) {
  T number{};
  std::memcpy(&number, bytes.data() + offset, sizeof number);
  return number;
}

struct Descriptor {
  std::uint64_t id;
  State state;
  TextPosition text;

  /// A committed one may yet be continued, but has a text.
  [[nodiscard]] bool has_text(std::uint64_t of) const {
    return id == of && (state == State::committed || state == State::finalized);
  }
};

struct Record {
  std::uint64_t id;
  TextPosition position;
  std::uint64_t sequence;
  std::uint64_t time;
  std::string text;
};

/// Reads the descriptors in the order of their numbers. What the guest changes while it is read is found by
/// reading the descriptors before and after their texts.
class RingReader {
public:
  RingReader(KernelMemory& memory, const RingLayout& layout)
      : memory_{memory}, layout_{layout}, texts_{memory, layout} {}

  [[nodiscard]] Result<std::string> run();

private:
  static constexpr std::uint64_t kChunk = 128;
  static constexpr unsigned kAttempts = 3;

  struct Chunk {
    std::vector<Record> records;
    std::size_t lost = 0;
    bool changed = false; ///< while it was read
  };

  [[nodiscard]] Chunk read_chunk(std::uint64_t first, std::uint64_t count);
  [[nodiscard]] std::optional<Record> read_record(const Descriptor& found, std::span<const std::byte> info);
  void drop_changed(Chunk& chunk, std::uint64_t first, std::span<const std::byte> after);
  [[nodiscard]] std::vector<std::byte> read_array(std::uint64_t address, std::size_t size,
                                                  std::uint64_t first, std::uint64_t count);
  [[nodiscard]] Descriptor descriptor(std::span<const std::byte> array, std::uint64_t index) const;
  void add(const Chunk& chunk);

  KernelMemory& memory_;
  const RingLayout& layout_;
  RingTexts texts_;
  LogText text_;
  std::optional<std::uint64_t> last_sequence_;
};

std::vector<std::byte> RingReader::read_array(std::uint64_t address, std::size_t size, std::uint64_t first,
                                              std::uint64_t count) {
  std::vector<std::byte> bytes(count * size);
  bytes.resize(memory_.read(address + (first & (layout_.count() - 1)) * size, bytes));
  return bytes;
}

Descriptor RingReader::descriptor(std::span<const std::byte> array, std::uint64_t index) const {
  const auto bytes = array.subspan(index * layout_.descriptor.size, layout_.descriptor.size);
  const auto state = number_at<std::uint64_t>(bytes, layout_.descriptor.state);
  return {.id = state & kIdMask,
          .state = static_cast<State>(state >> kStateShift),
          .text = {number_at<std::uint64_t>(bytes, layout_.descriptor.begin),
                   number_at<std::uint64_t>(bytes, layout_.descriptor.next)}};
}

std::optional<Record> RingReader::read_record(const Descriptor& found, std::span<const std::byte> info) {
  Record record{.id = found.id,
                .position = found.text,
                .sequence = number_at<std::uint64_t>(info, layout_.info.sequence),
                .time = number_at<std::uint64_t>(info, layout_.info.time),
                .text = {}};
  const std::size_t length = number_at<std::uint16_t>(info, layout_.info.text_length);
  // The kernel numbers records so that they, too, say in which element of the array they are.
  if (((record.sequence ^ record.id) & (layout_.count() - 1)) != 0) {
    return std::nullopt;
  }
  if (!found.text.is_empty_line()) {
    const auto text = texts_.text(found.text, found.id, length);
    if (!text) {
      return std::nullopt;
    }
    record.text = *text;
  }
  return record;
}

void RingReader::drop_changed(Chunk& chunk, std::uint64_t first, std::span<const std::byte> after) {
  const std::size_t dropped = std::erase_if(chunk.records, [&](const Record& record) {
    const std::uint64_t index = (record.id - first) & kIdMask;
    if ((index + 1) * layout_.descriptor.size > after.size()) {
      return true;
    }
    const Descriptor now = descriptor(after, index);
    return !now.has_text(record.id) || now.text != record.position;
  });
  chunk.lost += dropped;
  chunk.changed = dropped > 0;
}

RingReader::Chunk RingReader::read_chunk(std::uint64_t first, std::uint64_t count) {
  Chunk chunk;
  texts_.forget();
  const auto before = read_array(layout_.descriptors, layout_.descriptor.size, first, count);
  const auto infos = read_array(layout_.infos, layout_.info.size, first, count);
  const std::uint64_t readable =
      std::min(before.size() / layout_.descriptor.size, infos.size() / layout_.info.size);
  chunk.lost = count - readable;
  for (std::uint64_t i = 0; i < readable; ++i) {
    const std::uint64_t id = (first + i) & kIdMask;
    const Descriptor found = descriptor(before, i);
    const bool failed = found.text.has_no_data() && !found.text.is_empty_line();
    if (found.id == id && (found.state == State::reusable || (found.has_text(id) && failed))) {
      continue; // its text is gone in the guest, too
    }
    if (found.id == ((id + layout_.count()) & kIdMask) && !last_sequence_ && chunk.records.empty()) {
      continue; // overwritten, as the oldest ones always are
    }
    auto record = found.has_text(id) ? read_record(found, std::span{infos}.subspan(i * layout_.info.size))
                                     : std::nullopt;
    if (record) {
      chunk.records.push_back(std::move(*record));
    } else {
      ++chunk.lost;
    }
  }
  drop_changed(chunk, first, read_array(layout_.descriptors, layout_.descriptor.size, first, count));
  return chunk;
}

void RingReader::add(const Chunk& chunk) {
  std::size_t lost = chunk.lost;
  for (const Record& record : chunk.records) {
    if (last_sequence_ && record.sequence <= *last_sequence_) {
      ++lost;
      continue;
    }
    last_sequence_ = record.sequence;
    text_.add(record.time, record.text);
  }
  text_.add_lost(lost);
}

Result<std::string> RingReader::run() {
  const auto tail = memory_.value<std::uint64_t>(layout_.tail);
  const auto head = memory_.value<std::uint64_t>(layout_.head);
  if (!tail || !head) {
    return fail(ErrorKind::no_data, "linux", "cannot read where the kernel's log begins and ends");
  }
  // Between the two reads the ring can have gone on by more than its size.
  const std::uint64_t count = std::min(((*head - *tail) & kIdMask) + 1, layout_.count());
  std::uint64_t done = 0;
  while (done < count && !text_.is_full()) {
    const std::uint64_t first = (*head - count + 1 + done) & kIdMask;
    const std::uint64_t to_end = layout_.count() - (first & (layout_.count() - 1));
    const std::uint64_t size = std::min({kChunk, count - done, to_end});
    Chunk chunk = read_chunk(first, size);
    for (unsigned attempt = 1; attempt < kAttempts && chunk.changed; ++attempt) {
      chunk = read_chunk(first, size);
    }
    add(chunk);
    done += size;
  }
  text_.add_lost(count - done);
  return std::move(text_).finish();
}

} // namespace

Result<std::string> ring_log(KernelMemory& memory, const Vmcoreinfo& info) {
  const auto layout = ring_layout(memory, info);
  if (!layout) {
    return tl::unexpected{layout.error()};
  }
  return RingReader{memory, *layout}.run();
}

} // namespace vmemfs
