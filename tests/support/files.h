// SPDX-License-Identifier: MIT
// Files and waiting, for tests.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

namespace vmemfs::test {

/// A directory of its own under TMPDIR, removed at the end.
class TempDir {
public:
  TempDir();
  ~TempDir();
  TempDir(const TempDir&) = delete;
  TempDir& operator=(const TempDir&) = delete;

  [[nodiscard]] const std::string& path() const { return path_; }
  [[nodiscard]] std::string operator/(std::string_view name) const;

private:
  std::string path_;
};

/// Whole contents, whatever stat says about the size. Throws std::system_error.
[[nodiscard]] std::string read_file(const std::string& path);
void write_file(const std::string& path, std::string_view text);

/// True where stat succeeds; unlike std::filesystem's it does not throw while a VM is on its way out.
[[nodiscard]] bool exists(const std::string& path);

/// One open, one write, one close: 0 or the errno.
[[nodiscard]] int try_write(const std::string& path, std::string_view text);

/// The first line of `text` with these words; empty: there is none.
[[nodiscard]] std::string line_with(const std::string& text, std::string_view part);

/// pread: the bytes, or nothing and the errno.
struct ReadResult {
  std::vector<std::byte> bytes;
  int error = 0;
};
[[nodiscard]] ReadResult pread_at(int fd, std::uint64_t offset, std::size_t size);

/// True as soon as `done()` is; false if it is not within the limit. A std::system_error of `done()` counts
/// as not yet, as a file may go between a look and a read; that of the last try is thrown.
[[nodiscard]] bool eventually(const std::function<bool()>& done,
                              std::chrono::milliseconds limit = std::chrono::seconds{30});

} // namespace vmemfs::test
