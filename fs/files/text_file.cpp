// SPDX-License-Identifier: MIT
#include "fs/files/text_file.h"

#include <utility>

namespace vmemfs {

void reply_with_part(Reply& reply, std::string_view text, std::size_t size, std::uint64_t offset) {
  reply.text(offset < text.size() ? text.substr(static_cast<std::size_t>(offset), size) : std::string_view{});
}

Result<void> TextFile::keep(std::string text) {
  auto kept = std::make_shared<std::string>(std::move(text));
  auto allowed = limit_ ? limit_(kept, kept->size()) : Result<void>{};
  if (allowed) {
    text_ = std::move(kept);
    made_ = true;
  }
  return allowed;
}

Result<void> TextFile::begin_with(std::string text) {
  const MutexLock lock{mutex_};
  static_cast<void>(size_->fits(text)); // notes its size for stat(2)
  auto kept = keep(std::move(text));
  unread_ = kept.has_value();
  return kept;
}

void TextFile::read(Reply& reply, const ReadRequest& request) {
  const MutexLock lock{mutex_};
  if (std::exchange(unread_, false)) {
    size_->fit(*text_);
  } else if (request.offset == 0 || !made_) {
    auto text = source_();
    if (text && !size_->fits(*text) && shorter_) {
      text = shorter_();
    }
    const auto kept = std::move(text).and_then([this](std::string&& made) REQUIRES(mutex_) {
      size_->fit(made);
      return keep(std::move(made));
    });
    if (!kept) {
      reply.error(kept.error().kind);
      return;
    }
  }
  reply_with_part(reply, *text_, request.size, request.offset);
}

} // namespace vmemfs
