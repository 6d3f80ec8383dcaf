// SPDX-License-Identifier: MIT
// Files whose whole text is made when they are read from the start: `maps` and `info`.
#pragma once

#include "fs/files/open_file.h"

#include <functional>
#include <mutex>
#include <string>

namespace vmemfs {

/// Answers with the part of `text` that a read of `size` bytes at `offset` gets.
void reply_with_part(Reply& reply, std::string_view text, std::size_t size, std::uint64_t offset);

class TextFile : public OpenFile {
public:
  using Source = std::function<Result<std::string>()>;
  explicit TextFile(Source source) : source_{std::move(source)} {}

  /// A read at 0 makes the text anew; reads further on are from that same text, so that what one
  /// reader puts together is one state.
  void read(Reply& reply, const ReadRequest& request) override;

private:
  const Source source_;
  std::mutex mutex_;
  std::string text_;
  bool made_ = false;
};

} // namespace vmemfs
