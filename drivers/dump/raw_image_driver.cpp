// SPDX-License-Identifier: MIT
#include "drivers/dump/raw_image_driver.h"

#include <cerrno>
#include <fcntl.h>
#include <filesystem>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>
#include <utility>

namespace vmemfs {

RawImageDriver::RawImageDriver(UniqueFd file, VmIdentity identity, std::shared_ptr<const MemoryMap> map)
    : file_{std::move(file)}, identity_{std::move(identity)}, map_{std::move(map)} {}

Result<std::unique_ptr<RawImageDriver>> RawImageDriver::open(const std::string& path) {
  // O_NONBLOCK so that naming a FIFO by mistake is an error and not a wait.
  UniqueFd file{::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK)};
  if (!file) {
    return fail_errno(errno, "dump", fmt::format("cannot open '{}'", path));
  }
  struct stat status {};
  if (::fstat(file.get(), &status) != 0) {
    return fail_errno(errno, "dump", fmt::format("cannot look at '{}'", path));
  }
  if (!S_ISREG(status.st_mode) || status.st_size == 0) {
    return fail(ErrorKind::invalid, "dump",
                fmt::format("'{}' is {}; a raw memory image is needed", path,
                            S_ISREG(status.st_mode) ? "empty" : "no regular file"));
  }
  const std::string name = std::filesystem::path{path}.filename();
  auto map = MemoryMap::build(
      {{{Gpa{0}, Gpa{static_cast<std::uint64_t>(status.st_size)}}, RegionKind::ram, false, 0, 0}}, {name});
  if (!map) {
    return tl::unexpected{map.error()};
  }
  return std::unique_ptr<RawImageDriver>{new RawImageDriver{
      std::move(file), {name, "", "dump"}, std::make_shared<const MemoryMap>(std::move(*map))}};
}

void RawImageDriver::read(std::span<ReadPiece> pieces) {
  const Gpa end = map_->ram_end();
  for (ReadPiece& piece : pieces) {
    piece.done = 0;
    piece.failure.reset();
    while (piece.done < piece.buffer.size()) {
      const Gpa here = piece.gpa + piece.done;
      if (here >= end) {
        piece.failure = ErrorKind::hole;
        break;
      }
      const ssize_t count = ::pread(file_.get(), piece.buffer.data() + piece.done,
                                    piece.buffer.size() - piece.done, static_cast<off_t>(here.value()));
      if (count > 0) {
        piece.done += static_cast<std::size_t>(count);
      } else if (count == 0 || errno != EINTR) { // an image cut short under us has lost its data
        piece.failure = ErrorKind::source_failed;
        break;
      }
    }
  }
}

AccessReport RawImageDriver::access() const {
  return {"the whole file is one range", "pread of the file", "none: a raw image has no registers",
          "none: an image does not run", "none: an image is read only"};
}

} // namespace vmemfs
