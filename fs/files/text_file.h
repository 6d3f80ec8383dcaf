// SPDX-License-Identifier: MIT
// A read-only text that is made when it is read from the start, or when it is opened.
#pragma once

#include "fs/files/open_file.h"
#include "fs/files/text_size.h"
#include "util/mutex.h"

#include <cstddef>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <utility>

namespace vmemfs {

/// Answers with the part of `text` that a read of `size` bytes at `offset` gets.
void reply_with_part(Reply& reply, std::string_view text, std::size_t size, std::uint64_t offset);

class TextFile : public OpenFile {
public:
  using Source = std::function<Result<std::string>()>;
  /// Whether a text of that size may be kept until `text` is dropped; see ShownTexts.
  using Limit = std::function<Result<void>(const std::shared_ptr<const void>& text, std::size_t bytes)>;
  /// `size`: what stat(2) gives for the file, shared with its node.
  /// `shorter`, which may be null, makes a text that is complete too, but fits: for one that is longer than
  /// was to be expected. `limit` may be null, for a text that is short.
  explicit TextFile(Source source, std::shared_ptr<TextSize> size = std::make_shared<TextSize>(),
                    Source shorter = nullptr, Limit limit = nullptr)
      : source_{std::move(source)}, shorter_{std::move(shorter)}, limit_{std::move(limit)},
        size_{std::move(size)} {}

  /// A text that was made when the file was opened, for the first read. Called before any read. An error is
  /// the limit's.
  Result<void> begin_with(std::string text);

  /// A read at offset 0 makes the text again; later reads continue the same text, so that a reader gets one
  /// consistent state.
  void read(Reply& reply, const ReadRequest& request) override;

private:
  const Source source_;
  const Source shorter_;
  const Limit limit_;
  const std::shared_ptr<TextSize> size_;
  /// Keeps this text instead of the one before.
  Result<void> keep(std::string text) REQUIRES(mutex_);

  Mutex mutex_;
  std::shared_ptr<std::string> text_ GUARDED_BY(mutex_) = std::make_shared<std::string>();
  bool made_ GUARDED_BY(mutex_) = false;
  bool unread_ GUARDED_BY(mutex_) = false; ///< it is the one of the opening
};

} // namespace vmemfs
