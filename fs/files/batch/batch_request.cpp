// SPDX-License-Identifier: MIT
#include "fs/files/batch/batch_request.h"

#include "core/text.h"

#include <algorithm>
#include <bit>
#include <cctype>
#include <cstring>
#include <fmt/format.h>
#include <optional>
#include <string>
#include <utility>

namespace vmemfs {
namespace {

static_assert(std::endian::native == std::endian::little, "numbers are copied as they are");
static_assert(kBatchMagic.size() + kMaxBatchRanges * kBatchPairBytes <= kMaxBatchRequest);

tl::unexpected<Error> refuse(std::string text) { return fail(ErrorKind::invalid, "batch", std::move(text)); }

std::uint64_t number_at(std::string_view bytes, std::size_t offset) {
  std::uint64_t number = 0;
  std::memcpy(&number, bytes.data() + offset, sizeof number);
  return number;
}

/// Adds a range if the limits allow it.
Result<void> add(BatchRequest& request, std::uint64_t address, std::uint64_t length) {
  const bool text = request.form == BatchForm::text;
  const std::size_t limit = text ? kMaxBatchTextBytes : kMaxBatchBytes;
  if (request.ranges.size() == kMaxBatchRanges) {
    return refuse(fmt::format("cannot read more than {} ranges at once; write fewer", kMaxBatchRanges));
  }
  if (length > limit - request.bytes) {
    return refuse(fmt::format("cannot read {} bytes more after {}: a request{} gets at most {} bytes; write "
                              "fewer ranges at once",
                              length, request.bytes, text ? " in text" : "", limit));
  }
  request.ranges.push_back({Gpa{address}, static_cast<std::uint32_t>(length)});
  request.bytes += length;
  return {};
}

Result<BatchRequest> parse_binary(std::string_view pairs) {
  BatchRequest request{.form = BatchForm::binary};
  if (pairs.empty()) {
    return refuse(fmt::format("there is no range after '{}'; write its pairs of an address and a length, of "
                              "{} bytes each, together with it in one write",
                              kBatchMagic, kBatchPairBytes));
  }
  if (pairs.size() % kBatchPairBytes != 0) {
    return refuse(fmt::format("{} bytes after '{}' are not pairs of an address and a length, of {} bytes "
                              "each; a request comes in one write",
                              pairs.size(), kBatchMagic, kBatchPairBytes));
  }
  request.ranges.reserve(pairs.size() / kBatchPairBytes);
  for (std::size_t at = 0; at < pairs.size(); at += kBatchPairBytes) {
    auto added = add(request, number_at(pairs, at), number_at(pairs, at + kBatchPairBytes / 2));
    if (!added) {
      return tl::unexpected{std::move(added.error())};
    }
  }
  return request;
}

/// `ADDRESS LENGTH`, with blanks or tabs between them.
std::optional<std::pair<std::uint64_t, std::uint64_t>> parse_line(std::string_view line) {
  const std::size_t gap = line.find_first_of(" \t");
  if (gap == std::string_view::npos) {
    return std::nullopt;
  }
  const auto address = parse_u64(line.substr(0, gap));
  const auto length = parse_u64(trim(line.substr(gap)));
  return address && length ? std::optional{std::pair{*address, *length}} : std::nullopt;
}

/// The remedy if a line is none of text, such as the second part of a binary request that came in two writes.
std::string hint_for(std::string_view line) {
  const bool is_text = std::ranges::all_of(line, [](unsigned char byte) { return std::isprint(byte) != 0; });
  return is_text ? ""
                 : fmt::format("; a binary request begins with '{}' and comes in one write", kBatchMagic);
}

Result<BatchRequest> parse_text(std::string_view text, BatchRequest request) {
  constexpr std::size_t kMaxLine = 128;
  std::string joined;
  if (!request.rest.empty()) {
    joined = std::exchange(request.rest, {}).append(text);
    text = joined;
  }
  std::size_t number = 0;
  for (std::size_t end = 0; (end = text.find('\n')) != std::string_view::npos;) {
    const std::string_view line = trim(text.substr(0, end));
    text.remove_prefix(end + 1);
    ++number;
    if (line.empty()) {
      continue;
    }
    const auto range = parse_line(line);
    if (!range) {
      return refuse(fmt::format("line {}: '{}' is not an address and a length such as '0x1000 16'{}", number,
                                printable(line), hint_for(line)));
    }
    if (auto added = add(request, range->first, range->second); !added) {
      return tl::unexpected{std::move(added.error())};
    }
  }
  if (text.size() > kMaxLine) {
    return refuse(
        fmt::format("line {}: a line has at most {} bytes{}", number + 1, kMaxLine, hint_for(text)));
  }
  request.rest = text;
  if (request.ranges.empty() && trim(text).empty()) {
    return refuse("there is no range; write an address and a length such as '0x1000 16'");
  }
  return request;
}

} // namespace

Result<BatchRequest> parse_batch(std::string_view written, BatchRequest before) {
  if (written.size() > kMaxBatchRequest) {
    return refuse(fmt::format("cannot take {} bytes or more at once; a request has at most {}",
                              written.size(), kMaxBatchRequest));
  }
  if (written.starts_with(kBatchMagic)) {
    return parse_binary(written.substr(kBatchMagic.size()));
  }
  return parse_text(written, before.form == BatchForm::text ? std::move(before)
                                                            : BatchRequest{.form = BatchForm::text});
}

Result<BatchRequest> complete_batch(BatchRequest request) {
  return request.rest.empty() ? Result<BatchRequest>{std::move(request)}
                              : parse_text("\n", std::move(request));
}

} // namespace vmemfs
