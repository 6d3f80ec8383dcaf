// SPDX-License-Identifier: MIT
#include "fs/files/batch/batch_file.h"

#include <algorithm>
#include <chrono>

namespace vmemfs {
namespace {

/// For a read of the same open file. Short, as writes of all others wait meanwhile.
constexpr std::chrono::milliseconds kMaxWriteWait{50};

} // namespace

BatchFile::BatchFile(std::shared_ptr<Guest> guest, TextFile::Limit limit)
    : guest_{std::move(guest)}, limit_{std::move(limit)} {
  guest_->memory().begin_view();
}

BatchFile::~BatchFile() { guest_->memory().end_view(); }

void BatchFile::read(Reply& reply, const ReadRequest& request) {
  const MutexLock lock{mutex_};
  if (request.offset < begin_) { // the reader went back to the start of the file
    begin_ = 0;
  }
  const std::uint64_t offset = request.offset - begin_;
  if (request_) {
    if (const auto begun = begin_answer(); !begun) {
      words_ = begun.error().message() + '\n';
      reply.error(begun.error().kind);
      return;
    }
  }
  tl::expected<void, ErrorKind> current{};
  if (answer_ && (offset == 0 || !made_)) {
    current = make_answer();
  } else if (guest_->gone()) {
    current = tl::unexpected{ErrorKind::vm_gone};
  }
  if (current) {
    reply_with_part(reply, answer_ ? answer_->bytes() : words_, request.size, offset);
  } else {
    reply.error(current.error());
  }
}

Result<void> BatchFile::begin_answer() {
  return complete_batch(*std::exchange(request_, std::nullopt))
      .and_then([this](const BatchRequest& request) REQUIRES(mutex_) {
        return reserve(request).map([&]() REQUIRES(mutex_) {
          answer_.emplace(request, memory_->bytes());
          made_ = false;
        });
      });
}

tl::expected<void, ErrorKind> BatchFile::make_answer() {
  VmCounters& counters = guest_->counters();
  const auto begin = std::chrono::steady_clock::now();
  const auto bytes = counters.reads.counted(answer_->make(guest_->memory()));
  counters.read_duration.note(std::chrono::steady_clock::now() - begin);
  made_ = bytes.has_value();
  if (!bytes) {
    return tl::unexpected{bytes.error()};
  }
  counters.read_bytes.add(*bytes);
  return {};
}

/// The kernel has writes of one file wait for each other, whoever opened it, and who waits there cannot be
/// killed: so none of them waits for memory.
Result<std::size_t> BatchFile::write(std::string_view bytes, std::uint64_t offset) {
  if (!mutex_.try_lock_until(std::chrono::steady_clock::now() + kMaxWriteWait)) {
    const Error busy{ErrorKind::busy, "batch",
                     "a read of this open file waits for memory; open it once more"};
    guest_->report_refusal(busy);
    return tl::unexpected{busy};
  }
  const MutexLock lock{mutex_, std::adopt_lock};
  auto before = std::exchange(request_, std::nullopt);
  answer_.reset();
  auto taken = take(bytes, before && offset == begin_ ? std::move(*before) : BatchRequest{});
  if (!taken) {
    words_ = taken.error().message() + '\n';
  }
  // If nothing was taken, the file offset of the writer does not change.
  begin_ = offset + taken.value_or(0);
  return taken;
}

Result<std::size_t> BatchFile::take(std::string_view bytes, BatchRequest before) {
  if (guest_->gone()) {
    return fail(ErrorKind::vm_gone, "batch", "the VM has ended");
  }
  auto request = parse_batch(bytes, std::move(before));
  if (!request) {
    return tl::unexpected{std::move(request.error())};
  }
  if (auto reserved = reserve(*request); !reserved) {
    return tl::unexpected{std::move(reserved.error())};
  }
  request_ = std::move(*request);
  return bytes.size();
}

/// For the request until it is read, and for its answer.
Result<void> BatchFile::reserve(const BatchRequest& request) {
  const std::size_t before = memory_ != nullptr ? memory_->bytes().size() : 0;
  const std::size_t answer = BatchAnswer::memory_for(request);
  const std::size_t list = request.ranges.capacity() * sizeof(BatchRange);
  if (before >= answer && list_bytes_ >= list) {
    return {};
  }
  constexpr std::size_t kStep = std::size_t{64} << 10U; // for requests that get a little larger each time
  const std::size_t size = std::max(before, (answer / kStep + 1) * kStep);
  list_bytes_ = std::max(list_bytes_, (list / kStep + 1) * kStep);
  memory_ = std::make_shared<PageMemory>();
  if (auto allowed = limit_ ? limit_(memory_, size + list_bytes_) : Result<void>{}; !allowed) {
    memory_.reset();
    list_bytes_ = 0;
    return allowed;
  }
  *memory_ = PageMemory{size};
  return {};
}

} // namespace vmemfs
