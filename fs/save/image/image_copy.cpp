// SPDX-License-Identifier: MIT
#include "fs/save/image/image_copy.h"

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

ImageCopy::ImageCopy(Parts parts, Output output, unsigned threads)
    : parts_{std::move(parts)}, output_{std::move(output)}, threads_{std::max(threads, 1U)},
      chunks_{(parts_.source.size() + kChunk - 1) / kChunk}, read_back_(kChunk) {
  for (std::size_t i = 0; i < threads_ + kSpareChunks; ++i) {
    buffers_.push_back(std::make_unique<Buffer>(kChunk));
    free_.push_back(buffers_.back().get());
  }
}

std::size_t ImageCopy::size_of(std::uint64_t index) const {
  return static_cast<std::size_t>(std::min<std::uint64_t>(kChunk, parts_.source.size() - begin_of(index)));
}

std::optional<ImageCopy::Claim> ImageCopy::claim(const std::stop_token& stop) {
  const MutexLock claim_lock{claim_mutex_};
  if (next_claim_ == chunks_) {
    return std::nullopt;
  }
  const std::uint64_t begin = begin_of(next_claim_);
  const bool has_data = parts_.source.has_data(begin, begin + size_of(next_claim_));
  const MutexLock lock{mutex_};
  const bool may_go_on = changed_.wait(
      mutex_, stop, [this]() REQUIRES(mutex_) { return window_.size() < kMaxBehind || error_.has_value(); });
  if (!may_go_on || error_) {
    return std::nullopt;
  }
  window_.push_back({has_data ? State::reading : State::zeros});
  changed_.notify_all();
  return Claim{next_claim_++, has_data};
}

ImageCopy::Buffer* ImageCopy::take_buffer(const std::stop_token& stop) {
  const MutexLock lock{mutex_};
  const bool found =
      changed_.wait(mutex_, stop, [this]() REQUIRES(mutex_) { return !free_.empty() || error_.has_value(); });
  if (!found || error_) {
    return nullptr;
  }
  Buffer* const buffer = free_.back();
  free_.pop_back();
  return buffer;
}

Result<void> ImageCopy::fill(std::uint64_t index, Buffer& buffer) {
  const std::span<std::byte> bytes = std::span{buffer}.first(size_of(index));
  if (auto read = parts_.source.read(begin_of(index), bytes, parts_.unreadable); !read) {
    return read;
  }
  return file() == nullptr ? Result<void>{} : file()->write(begin_of(index), bytes);
}

/// Hands the chunk to the consumer, and returns the buffer for the reader's next one; null: the reader has
/// to wait for one.
ImageCopy::Buffer* ImageCopy::finish(std::uint64_t index, Buffer* buffer) {
  const MutexLock lock{mutex_};
  Chunk& chunk = window_[static_cast<std::size_t>(index - next_consumed_)];
  if (file() != nullptr && free_.empty()) {
    chunk = {State::in_file};
  } else {
    chunk = {State::buffered, buffer};
    buffer = nullptr;
    if (!free_.empty()) {
      buffer = free_.back();
      free_.pop_back();
    }
  }
  changed_.notify_all();
  return buffer;
}

void ImageCopy::fail_with(Error error) {
  const MutexLock lock{mutex_};
  if (!error_) {
    error_ = std::move(error);
  }
  changed_.notify_all();
}

void ImageCopy::leave() {
  {
    const MutexLock lock{mutex_};
    if (--reading_ > 0 || error_) {
      return;
    }
  }
  parts_.all_read();
}

/// Whatever is thrown fails the copy: a reader that is missed would be waited for.
template <typename Action> void ImageCopy::guarded(Action action) {
  try {
    action();
  } catch (const std::exception& exception) { // no memory, no thread
    fail_with({.kind = ErrorKind::no_memory, .origin = "save", .text = exception.what()});
  }
}

void ImageCopy::read_chunks(const std::stop_token& stop) {
  Buffer* buffer = nullptr;
  while (!stop.stop_requested()) {
    // A chunk is claimed only with a buffer, so the first of those in the window has one and is finished.
    if (buffer == nullptr) {
      buffer = take_buffer(stop);
    }
    if (buffer == nullptr) {
      return;
    }
    const auto claimed = claim(stop);
    if (!claimed) {
      break;
    }
    if (claimed->has_data) {
      if (auto filled = fill(claimed->index, *buffer); !filled) {
        fail_with(std::move(filled.error()));
        return;
      }
      buffer = finish(claimed->index, buffer);
      parts_.progress.data += size_of(claimed->index);
    }
  }
  if (!stop.stop_requested()) {
    leave();
  }
}

Result<ImageCopy::Chunk> ImageCopy::next_chunk(const std::stop_token& stop) {
  const MutexLock lock{mutex_};
  const bool ready = changed_.wait(mutex_, stop, [this]() REQUIRES(mutex_) {
    return error_.has_value() || (!window_.empty() && window_.front().state != State::reading);
  });
  if (error_) {
    return tl::unexpected{*error_};
  }
  if (!ready) {
    return stopped();
  }
  const Chunk chunk = window_.front();
  window_.pop_front();
  ++next_consumed_;
  changed_.notify_all();
  return chunk;
}

Result<std::span<const std::byte>> ImageCopy::bytes_of(std::uint64_t index, Chunk chunk) {
  if (chunk.state == State::zeros) {
    return zeros().first(size_of(index));
  }
  if (chunk.state == State::buffered) {
    return std::span<const std::byte>{*chunk.buffer}.first(size_of(index));
  }
  const std::span<std::byte> bytes = std::span{read_back_}.first(size_of(index));
  if (auto read = file()->read(begin_of(index), bytes); !read) {
    return tl::unexpected{std::move(read.error())};
  }
  return bytes;
}

void ImageCopy::give_back(Chunk chunk) {
  if (chunk.buffer != nullptr) {
    const MutexLock lock{mutex_};
    free_.push_back(chunk.buffer);
    changed_.notify_all();
  }
}

Result<void> ImageCopy::consume_all(const std::stop_token& stop) {
  const auto* const stream = std::get_if<StreamOutput>(&output_);
  for (std::uint64_t index = 0; index < chunks_; ++index) {
    const auto chunk = next_chunk(stop);
    if (!chunk) {
      return tl::unexpected{chunk.error()};
    }
    const auto bytes = bytes_of(index, *chunk);
    if (!bytes) {
      return tl::unexpected{bytes.error()};
    }
    if (stream != nullptr) {
      if (auto written = stream->write(*bytes); !written) {
        return written;
      }
    }
    if (auto hashed = hash_->add(*bytes); !hashed) {
      return hashed;
    }
    give_back(*chunk);
    parts_.progress.done += size_of(index);
  }
  return {};
}

Result<std::string> ImageCopy::run(const std::stop_token& stop) {
  auto sha256 = Sha256::create();
  if (!sha256) {
    return tl::unexpected{sha256.error()};
  }
  hash_.emplace(std::move(*sha256));
  if (file() != nullptr) {
    if (auto sized = file()->set_size(parts_.source.size()); !sized) {
      return tl::unexpected{sized.error()};
    }
  }
  Result<void> consumed{};
  {
    std::vector<std::jthread> readers;
    const SignalsBlocked blocked;
    {
      const MutexLock lock{mutex_};
      reading_ = threads_;
    }
    guarded([&] {
      readers.reserve(threads_);
      for (unsigned i = 0; i < threads_; ++i) {
        readers.emplace_back([this, &stop] { guarded([&] { read_chunks(stop); }); });
      }
    });
    consumed = consume_all(stop);
    if (!consumed) {
      fail_with(consumed.error()); // the readers end, which are joined here
    }
  }
  if (!consumed) {
    return tl::unexpected{consumed.error()};
  }
  if (stop.stop_requested()) {
    return stopped();
  }
  return hash_->finish();
}

} // namespace vmemfs
