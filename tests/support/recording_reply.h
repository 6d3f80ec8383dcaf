// SPDX-License-Identifier: MIT
// A Reply that keeps what it was given, for tests of files without a mount.
#pragma once

#include "fs/files/open_file.h"

#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>

namespace vmemfs::test {

/// What a request got. Thread-safe, as the answer may come later and on another thread.
class RecordedAnswer {
public:
  [[nodiscard]] int count() const {
    const std::scoped_lock lock{mutex_};
    return count_;
  }
  [[nodiscard]] std::string bytes() const {
    const std::scoped_lock lock{mutex_};
    return bytes_;
  }
  [[nodiscard]] std::optional<ErrorKind> error() const {
    const std::scoped_lock lock{mutex_};
    return error_;
  }
  /// An offset or poll events.
  [[nodiscard]] std::uint64_t number() const {
    const std::scoped_lock lock{mutex_};
    return number_;
  }

  void give(std::string bytes, std::optional<ErrorKind> error, std::uint64_t number) {
    const std::scoped_lock lock{mutex_};
    ++count_;
    bytes_ = std::move(bytes);
    error_ = error;
    number_ = number;
  }

private:
  mutable std::mutex mutex_;
  int count_ = 0;
  std::string bytes_;
  std::optional<ErrorKind> error_;
  std::uint64_t number_ = 0;
};

/// One that is destroyed without an answer records source_failed, which is EIO.
class RecordingReply final : public Reply {
public:
  explicit RecordingReply(std::shared_ptr<RecordedAnswer> answer) : answer_{std::move(answer)} {}
  ~RecordingReply() override { error(ErrorKind::source_failed); }
  RecordingReply(const RecordingReply&) = delete;
  RecordingReply& operator=(const RecordingReply&) = delete;

  void error(ErrorKind kind) override {
    if (answer_ != nullptr) {
      take()->give({}, kind, 0);
    }
  }
  void data(std::span<const iovec> bytes) override {
    std::string all;
    for (const iovec& part : bytes) {
      all.append(static_cast<const char*>(part.iov_base), part.iov_len);
    }
    take()->give(std::move(all), {}, 0);
  }
  void text(std::string_view bytes) override { take()->give(std::string{bytes}, {}, 0); }
  void offset(std::uint64_t offset) override { take()->give({}, {}, offset); }
  void poll(unsigned events) override { take()->give({}, {}, events); }

private:
  std::shared_ptr<RecordedAnswer> take() { return std::exchange(answer_, nullptr); }

  std::shared_ptr<RecordedAnswer> answer_;
};

/// One request, made as the session makes it.
template <typename Request> std::shared_ptr<RecordedAnswer> answer_to(Request&& request) {
  auto answer = std::make_shared<RecordedAnswer>();
  RecordingReply reply{answer};
  request(reply);
  return answer;
}

inline std::shared_ptr<RecordedAnswer> read_file(OpenFile& file, std::uint64_t offset = 0,
                                                 std::size_t size = 4096, bool for_mapping = false) {
  return answer_to(
      [&](Reply& reply) { file.read(reply, {.size = size, .offset = offset, .for_mapping = for_mapping}); });
}

} // namespace vmemfs::test
