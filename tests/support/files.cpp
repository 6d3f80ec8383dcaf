// SPDX-License-Identifier: MIT
#include "support/files.h"

#include "util/unique_fd.h"

#include <cerrno>
#include <cstdlib>
#include <fcntl.h>
#include <filesystem>
#include <sstream>
#include <system_error>
#include <thread>
#include <unistd.h>

namespace vmemfs::test {

TempDir::TempDir() : path_{std::filesystem::temp_directory_path() / "vmemfs-test-XXXXXX"} {
  if (::mkdtemp(path_.data()) == nullptr) {
    throw std::system_error{errno, std::generic_category(), path_};
  }
}

TempDir::~TempDir() {
  std::error_code ignored;
  std::filesystem::remove_all(path_, ignored);
}

std::string TempDir::operator/(std::string_view name) const { return std::filesystem::path{path_} / name; }

std::string read_file(const std::string& path) {
  const UniqueFd file{::open(path.c_str(), O_RDONLY | O_CLOEXEC)};
  std::string text;
  char buffer[65536];
  ssize_t count = file ? 0 : -1;
  while (file && (count = ::read(file.get(), buffer, sizeof(buffer))) > 0) {
    text.append(buffer, static_cast<std::size_t>(count));
  }
  if (count < 0) {
    throw std::system_error{errno, std::generic_category(), path};
  }
  return text;
}

bool exists(const std::string& path) {
  std::error_code ignored;
  return std::filesystem::exists(path, ignored);
}

int try_write(const std::string& path, std::string_view text) {
  const UniqueFd file{::open(path.c_str(), O_WRONLY | O_CLOEXEC | O_TRUNC)};
  if (!file) {
    return errno;
  }
  return ::write(file.get(), text.data(), text.size()) == static_cast<ssize_t>(text.size()) ? 0 : errno;
}

void write_file(const std::string& path, std::string_view text) {
  const UniqueFd file{::open(path.c_str(), O_WRONLY | O_CLOEXEC | O_TRUNC | O_CREAT, 0600)};
  if (!file || ::write(file.get(), text.data(), text.size()) != static_cast<ssize_t>(text.size())) {
    throw std::system_error{errno, std::generic_category(), path};
  }
}

std::string line_with(const std::string& text, std::string_view part) {
  std::istringstream lines{text};
  for (std::string line; std::getline(lines, line);) {
    if (line.find(part) != std::string::npos) {
      return line;
    }
  }
  return {};
}

ReadResult pread_at(int fd, std::uint64_t offset, std::size_t size) {
  ReadResult result;
  result.bytes.resize(size);
  const ssize_t count = ::pread(fd, result.bytes.data(), size, static_cast<off_t>(offset));
  result.error = count < 0 ? errno : 0;
  result.bytes.resize(count < 0 ? 0 : static_cast<std::size_t>(count));
  return result;
}

bool eventually(const std::function<bool()>& done, std::chrono::milliseconds limit) {
  for (const auto end = std::chrono::steady_clock::now() + limit;;) {
    const bool last = std::chrono::steady_clock::now() >= end;
    try {
      if (done()) {
        return true;
      }
    } catch (const std::system_error&) {
      if (last) {
        throw;
      }
    }
    if (last) {
      return false;
    }
    std::this_thread::sleep_for(std::chrono::milliseconds{5});
  }
}

} // namespace vmemfs::test
