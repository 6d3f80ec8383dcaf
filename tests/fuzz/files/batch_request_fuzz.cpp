// SPDX-License-Identifier: MIT
// What users write to `batch`.
#include "fs/files/batch/batch_request.h"
#include "fuzz/fuzz_target.h"

FUZZ_TARGET(text) {
  using vmemfs::fuzz::expect;
  auto request = vmemfs::parse_batch(text);
  if (!request) {
    expect(request.error().kind == vmemfs::ErrorKind::invalid, "a request is refused as invalid");
    return;
  }
  std::size_t bytes = 0;
  for (const vmemfs::BatchRange& range : request->ranges) {
    bytes += range.size;
  }
  const bool is_text = request->form == vmemfs::BatchForm::text;
  expect(bytes == request->bytes, "the sum of all ranges is right");
  expect(bytes <= (is_text ? vmemfs::kMaxBatchTextBytes : vmemfs::kMaxBatchBytes), "the answer is limited");
  expect(!request->ranges.empty() || !request->rest.empty(), "there is something to read");
  expect(request->ranges.size() <= vmemfs::kMaxBatchRanges, "there are not too many ranges");
  const auto complete = vmemfs::complete_batch(*request);
  expect(!complete || !complete->ranges.empty(), "a complete request has ranges");
  const std::size_t ranges = request->ranges.size();
  const bool has_rest = !request->rest.empty();
  const auto twice = vmemfs::parse_batch(text, std::move(*request));
  if (twice && !has_rest) {
    expect(twice->ranges.size() == (is_text ? 2 : 1) * ranges, "text continues text");
  }
}
