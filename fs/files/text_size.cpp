// SPDX-License-Identifier: MIT
#include "fs/files/text_size.h"

#include <algorithm>

namespace vmemfs {

std::size_t TextSize::promise(std::size_t bytes_now) {
  constexpr std::size_t kStep = 64; // few enough blanks for the line of a terminal
  constexpr std::size_t kRoom = 16;
  const std::size_t bytes = std::max<std::size_t>(bytes_now, last_read_);
  const std::size_t size =
      varies_ == Varies::always && bytes > 0 ? (bytes + kRoom + kStep - 1) / kStep * kStep : bytes;
  promised_ = size;
  return size;
}

bool TextSize::fits(const std::string& text) {
  last_read_ = text.size();
  const std::size_t promised = promised_;
  return promised == 0 || text.size() <= promised;
}

void TextSize::fit(std::string& text) {
  const std::size_t promised = promised_;
  if (text.size() >= promised) {
    return;
  }
  std::string padding(promised - text.size(), ' ');
  const bool ends_line = text.ends_with('\n');
  if (padding_ == Padding::blanks && ends_line) {
    text.insert(text.size() - 1, padding);
    return;
  }
  if (padding_ == Padding::comment && padding.size() > 1) {
    padding.front() = '#';
  }
  padding.back() = '\n';
  text += padding;
}

} // namespace vmemfs
