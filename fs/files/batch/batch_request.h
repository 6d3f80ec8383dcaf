// SPDX-License-Identifier: MIT
// A request of `batch`: the ranges that are to be read, and the form in which they were written.
#pragma once

#include "core/error.h"
#include "core/gpa.h"

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace vmemfs {

/// The first bytes of a binary request.
inline constexpr std::string_view kBatchMagic = "VMBATCH1";

/// Bytes of a range in a binary request: address and length, 64 bits each, little-endian.
inline constexpr std::size_t kBatchPairBytes = 16;

/// The kernel passes a write whole if it is not longer, wherever in its pages the caller's buffer begins.
inline constexpr std::size_t kMaxBatchRequest = (std::size_t{1} << 20U) - 4096;
/// Programs that write from a buffer of their own, such as stdio, make it so large: a request is one write.
inline constexpr std::size_t kPreferredBatchWrite = std::size_t{1} << 20U;
inline constexpr std::size_t kMaxBatchRanges = 65'000;
/// Of all ranges together.
inline constexpr std::size_t kMaxBatchBytes = std::size_t{16} << 20U;
/// The same, if they are answered as text.
inline constexpr std::size_t kMaxBatchTextBytes = std::size_t{1} << 20U;

enum class BatchForm : unsigned char { binary, text };

struct BatchRange {
  Gpa gpa;
  std::uint32_t size; ///< at most kMaxBatchBytes
};

struct BatchRequest {
  BatchForm form = BatchForm::binary;
  std::vector<BatchRange> ranges{}; ///< at least one, unless there is a rest
  std::size_t bytes = 0;            ///< of all ranges
  std::string rest{};               ///< of text: a last line of which the end was not written yet
};

/// Parses what was written at once: a binary request, or lines of text. Text is added to that of `before`, as
/// shells write each line by itself, and programs cut a long text anywhere. invalid: the text says what is
/// wrong.
[[nodiscard]] Result<BatchRequest> parse_batch(std::string_view written, BatchRequest before = {});

/// The request as it is to be read: the last line needs no end.
[[nodiscard]] Result<BatchRequest> complete_batch(BatchRequest request);

} // namespace vmemfs
