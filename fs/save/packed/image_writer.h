// SPDX-License-Identifier: MIT
// Interface of the image formats whose memory is packed.
#pragma once

#include "core/error.h"
#include "fs/save/packed/memory_chunks.h"

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <stop_token>
#include <string>

namespace vmemfs {

/// Packs the memory of chunks, each by itself. Used by one thread.
class ChunkPacker {
public:
  virtual ~ChunkPacker() = default;
  /// Packs at most kMemoryChunk bytes; returns how many bytes it is then, at least one.
  [[nodiscard]] virtual std::size_t pack(std::span<const std::byte> memory, std::span<std::byte> packed) = 0;
};

struct WrittenImage {
  std::uint64_t bytes = 0;
  std::string sha256{};
};

/// An image, written in order. Only make_packer() is thread-safe.
class ImageWriter {
public:
  virtual ~ImageWriter() = default;

  [[nodiscard]] virtual std::unique_ptr<ChunkPacker> make_packer() const = 0;
  /// Room that ChunkPacker::pack() needs.
  [[nodiscard]] virtual std::size_t max_packed_bytes() const = 0;

  /// Before the first chunk.
  [[nodiscard]] virtual Result<void> begin() = 0;
  /// All chunks, in their order.
  [[nodiscard]] virtual Result<void> write(const MemoryChunk& chunk, std::span<const std::byte> packed) = 0;
  /// After the last chunk. interrupted: stopped.
  [[nodiscard]] virtual Result<WrittenImage> end(const std::stop_token& stop) = 0;
};

} // namespace vmemfs
