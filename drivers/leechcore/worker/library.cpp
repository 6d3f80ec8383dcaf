// SPDX-License-Identifier: MIT
#include "drivers/leechcore/worker/library.h"

#include <dlfcn.h>
#include <fmt/format.h>
#include <string_view>
#include <sys/stat.h>

namespace vmemfs::leechcore {
namespace {

constexpr std::string_view kOrigin = "leechcore";
constexpr std::string_view kFileName = "leechcore.so";

/// The library finds its drivers and plugins beside itself only if it is loaded by its full path.
std::string file_of(const std::string& path) {
  struct stat status {};
  const bool is_folder = !path.empty() && ::stat(path.c_str(), &status) == 0 && S_ISDIR(status.st_mode);
  if (is_folder) {
    return fmt::format("{}/{}", path, kFileName);
  }
  return path.empty() ? std::string{kFileName} : path;
}

/// The loader of one library's functions; keeps the name of the first one that is missing.
class Symbols {
public:
  explicit Symbols(void* handle) : handle_{handle} {}

  template <typename Function> void get(Function& function, const char* name) {
    function = reinterpret_cast<Function>(::dlsym(handle_, name));
    if (function == nullptr && missing_.empty()) {
      missing_ = name;
    }
  }
  [[nodiscard]] const std::string& missing() const { return missing_; }

private:
  void* handle_;
  std::string missing_;
};

std::string last_error() {
  const char* const text = ::dlerror(); // NOLINT(concurrency-mt-unsafe): of one thread
  return text == nullptr ? "unknown error" : text;
}

} // namespace

Result<Library> Library::load(const std::string& path) {
  const std::string file = file_of(path);
  void* const handle = ::dlopen(file.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (handle == nullptr) {
    return fail(
        ErrorKind::not_found, kOrigin,
        fmt::format("cannot load the library: {}; install LeechCore, and name its leechcore.so or the "
                    "directory of it with library=",
                    last_error()));
  }
  Library library;
  Symbols symbols{handle};
  symbols.get(library.create, "LcCreateEx");
  symbols.get(library.close, "LcClose");
  symbols.get(library.free, "LcMemFree");
  symbols.get(library.alloc, "LcAllocScatter2");
  symbols.get(library.read, "LcReadScatter");
  symbols.get(library.write, "LcWriteScatter");
  symbols.get(library.get_option, "LcGetOption");
  symbols.get(library.command, "LcCommand");
  if (!symbols.missing().empty()) {
    return fail(
        ErrorKind::unsupported, kOrigin,
        fmt::format("{} has no function {}; it has to be LeechCore 2.0 or newer", file, symbols.missing()));
  }
  return library;
}

} // namespace vmemfs::leechcore
