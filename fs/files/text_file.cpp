// SPDX-License-Identifier: MIT
#include "fs/files/text_file.h"

#include <utility>

namespace vmemfs {

void reply_with_part(Reply& reply, std::string_view text, std::size_t size, std::uint64_t offset) {
  reply.text(offset < text.size() ? text.substr(static_cast<std::size_t>(offset), size) : std::string_view{});
}

void TextFile::begin_with(std::string text) {
  const MutexLock lock{mutex_};
  static_cast<void>(size_->fits(text)); // notes its size for stat(2)
  text_ = std::move(text);
  made_ = true;
  unread_ = true;
}

void TextFile::read(Reply& reply, const ReadRequest& request) {
  const MutexLock lock{mutex_};
  if (std::exchange(unread_, false)) {
    size_->fit(text_);
  } else if (request.offset == 0 || !made_) {
    auto text = source_();
    if (text && !size_->fits(*text) && shorter_) {
      text = shorter_();
    }
    if (!text) {
      reply.error(text.error().kind);
      return;
    }
    text_ = std::move(*text);
    size_->fit(text_);
    made_ = true;
  }
  reply_with_part(reply, text_, request.size, request.offset);
}

} // namespace vmemfs
