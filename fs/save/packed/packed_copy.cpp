// SPDX-License-Identifier: MIT
#include "fs/save/packed/packed_copy.h"

#include "util/signals.h"
#include "util/zeros.h"

#include <algorithm>
#include <exception>
#include <thread>
#include <utility>

namespace vmemfs {
namespace {

tl::unexpected<Error> stopped() { return fail(ErrorKind::interrupted, "save", "stopped"); }

} // namespace

PackedCopy::PackedCopy(Parts parts, unsigned threads)
    : parts_{std::move(parts)}, threads_{std::max(threads, 1U)},
      slots_(threads_ + kSpareChunks, Buffer(parts_.writer.max_packed_bytes())),
      packed_bytes_(slots_.size()) {}

std::optional<PackedCopy::Claim> PackedCopy::claim(const std::stop_token& stop) {
  const MutexLock claim_lock{claim_mutex_};
  if (next_claim_ == parts_.chunks.count()) {
    return std::nullopt;
  }
  const std::uint64_t index = next_claim_;
  const MemoryChunk chunk = parts_.chunks.at(index);
  const bool has_data = parts_.source.has_data(chunk.offset, chunk.offset + chunk.size);
  const MutexLock lock{mutex_};
  const bool may_go_on = changed_.wait(mutex_, stop, [this, index]() REQUIRES(mutex_) {
    return index - next_written_ < slots_.size() || error_.has_value();
  });
  if (!may_go_on || error_) {
    return std::nullopt;
  }
  ++next_claim_;
  return Claim{index, has_data};
}

/// Reads a chunk; what cannot be read is listed with its address, as offsets mean nothing to who has only the
/// image.
Result<void> PackedCopy::read(const MemoryChunk& chunk, std::span<std::byte> memory) {
  UnreadableRanges offsets;
  if (auto done = parts_.source.read(chunk.offset, memory, offsets); !done) {
    return done;
  }
  if (offsets.bytes() > 0) {
    for (const ByteRange& range : offsets.listed()) {
      parts_.unreadable.add({chunk.begin.value() + (range.begin - chunk.offset),
                             chunk.begin.value() + (range.end - chunk.offset)});
    }
  }
  parts_.progress.data += chunk.size;
  return {};
}

void PackedCopy::count_read() {
  {
    const MutexLock lock{mutex_};
    if (++chunks_read_ < parts_.chunks.count() || error_) {
      return;
    }
  }
  parts_.all_read();
}

void PackedCopy::finish(std::uint64_t index, std::size_t packed_bytes) {
  const MutexLock lock{mutex_};
  packed_bytes_[slot_of(index)] = packed_bytes;
  changed_.notify_all();
}

void PackedCopy::fail_with(Error error) {
  const MutexLock lock{mutex_};
  if (!error_) {
    error_ = std::move(error);
  }
  changed_.notify_all();
}

/// Whatever is thrown fails the copy: a reader that is missed would be waited for.
template <typename Action> void PackedCopy::guarded(Action action) {
  try {
    action();
  } catch (const std::exception& exception) { // no memory, no thread
    fail_with({.kind = ErrorKind::no_memory, .origin = "save", .text = exception.what()});
  }
}

void PackedCopy::read_chunks(const std::stop_token& stop) {
  Buffer memory(kMemoryChunk);
  const auto packer = parts_.writer.make_packer();
  while (!stop.stop_requested()) {
    const auto claimed = claim(stop);
    if (!claimed) {
      return;
    }
    const MemoryChunk chunk = parts_.chunks.at(claimed->index);
    const std::span<std::byte> bytes = std::span{memory}.first(chunk.size);
    if (claimed->has_data) {
      if (auto done = read(chunk, bytes); !done) {
        fail_with(std::move(done.error()));
        return;
      }
    }
    count_read();
    finish(claimed->index, packer->pack(claimed->has_data ? bytes : zeros().first(chunk.size),
                                        slots_[slot_of(claimed->index)]));
  }
}

Result<std::span<const std::byte>> PackedCopy::packed_chunk(std::uint64_t index,
                                                            const std::stop_token& stop) {
  const MutexLock lock{mutex_};
  const bool ready = changed_.wait(mutex_, stop, [this, index]() REQUIRES(mutex_) {
    return error_.has_value() || packed_bytes_[slot_of(index)] > 0;
  });
  if (error_) {
    return tl::unexpected{*error_};
  }
  if (!ready) {
    return stopped();
  }
  return std::span<const std::byte>{slots_[slot_of(index)]}.first(packed_bytes_[slot_of(index)]);
}

void PackedCopy::free_slot(std::uint64_t index) {
  const MutexLock lock{mutex_};
  packed_bytes_[slot_of(index)] = 0;
  next_written_ = index + 1;
  changed_.notify_all();
}

Result<void> PackedCopy::write_all(const std::stop_token& stop) {
  for (std::uint64_t index = 0; index < parts_.chunks.count(); ++index) {
    const auto packed = packed_chunk(index, stop);
    if (!packed) {
      return tl::unexpected{packed.error()};
    }
    const MemoryChunk chunk = parts_.chunks.at(index);
    if (auto written = parts_.writer.write(chunk, *packed); !written) {
      return written;
    }
    free_slot(index);
    parts_.progress.done += chunk.size;
  }
  return {};
}

Result<WrittenImage> PackedCopy::run(const std::stop_token& stop) {
  if (auto begun = parts_.writer.begin(); !begun) {
    return tl::unexpected{std::move(begun.error())};
  }
  Result<void> written{};
  {
    std::vector<std::jthread> readers;
    const SignalsBlocked blocked;
    guarded([&] {
      readers.reserve(threads_);
      for (unsigned i = 0; i < threads_; ++i) {
        readers.emplace_back([this, &stop] { guarded([&] { read_chunks(stop); }); });
      }
    });
    written = write_all(stop);
    if (!written) {
      fail_with(written.error()); // the readers end, which are joined here
    }
  }
  if (!written) {
    return tl::unexpected{written.error()};
  }
  if (stop.stop_requested()) {
    return stopped();
  }
  return parts_.writer.end(stop);
}

} // namespace vmemfs
