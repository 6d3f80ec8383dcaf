// SPDX-License-Identifier: MIT
// The size that stat(2) gives for a text that is made when it is read.
//
// Programs take a file of size 0 as empty (tar, rsync, `[ -s ]`), copy as many bytes as stat(2) gave
// (tarfile, sendfile), or compare the two. So a text is padded with blanks to the size that was last given
// for it.
#pragma once

#include <atomic>
#include <cstddef>
#include <string>

namespace vmemfs {

/// Of one file. Thread-safe.
class TextSize {
public:
  enum class Varies : unsigned char {
    seldom,
    always, ///< has counters: leaves room for them to grow
  };
  enum class Padding : unsigned char {
    blanks,  ///< at the end of the last line
    comment, ///< a line of its own, for a format in which blanks at the end of a line are an error
  };
  explicit TextSize(Varies varies = Varies::seldom, Padding padding = Padding::blanks)
      : varies_{varies}, padding_{padding} {}

  /// The size for stat(2) of a text that now has about so many bytes, not less than what was read last.
  [[nodiscard]] std::size_t promise(std::size_t bytes_now);
  /// As the last text that was read; 0: none was.
  [[nodiscard]] std::size_t last_read() const { return last_read_; }

  /// Whether a text is not longer than the size that was given, if any was. A longer one is noted for the
  /// next.
  [[nodiscard]] bool fits(const std::string& text);
  /// Pads a text that is about to be read to the size that was given. One that has grown beyond it stays.
  void fit(std::string& text);

private:
  const Varies varies_;
  const Padding padding_;
  std::atomic<std::size_t> promised_{0};
  std::atomic<std::size_t> last_read_{0}; ///< without padding; or of a longer one that did not fit
};

} // namespace vmemfs
