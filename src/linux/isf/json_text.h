// SPDX-License-Identifier: MIT
// A JSON text that grows up to a limit.
#pragma once

#include <charconv>
#include <cstddef>
#include <string>
#include <string_view>
#include <utility>

namespace vmemfs::isf {

class JsonText {
public:
  explicit JsonText(std::size_t max_bytes) : max_bytes_{max_bytes} {}

  /// Whether it is beyond the limit. What is appended then is dropped.
  [[nodiscard]] bool full() const { return text_.size() > max_bytes_; }
  void reserve(std::size_t bytes) { text_.reserve(bytes); }
  [[nodiscard]] std::string take() && { return std::move(text_); }

  /// Appended as it is.
  void raw(std::string_view text) {
    if (!full()) {
      text_ += text;
    }
  }
  template <typename Number> void number(Number value) {
    constexpr std::size_t kDigits = 24;
    char digits[kDigits];
    const auto end = std::to_chars(digits, digits + kDigits, value);
    raw({digits, end.ptr});
  }

  /// A string's content. Each byte that is not printable ASCII becomes the character with its number, so that
  /// every name of a guest differs from every other one.
  void content(std::string_view text);
  void string(std::string_view text) {
    raw("\"");
    content(text);
    raw("\"");
  }

  /// For all but the first element of an object or list.
  void separate(bool& is_first) {
    if (!is_first) {
      raw(",\n");
    }
    is_first = false;
  }

private:
  std::size_t max_bytes_;
  std::string text_;
};

} // namespace vmemfs::isf
