#include "util/pagemap.h"

#include "core/gpa.h"
#include "util/process.h"

#include <cerrno>
#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

namespace vmemfs {

Result<Pagemap> Pagemap::open(pid_t pid) {
  const std::string path = fmt::format("/proc/{}/pagemap", pid);
  UniqueFd fd{::open(path.c_str(), O_RDONLY | O_CLOEXEC)};
  if (!fd) {
    const int error = errno;
    return fail_errno(error, "proc", fmt::format("can't open {} ({})", path, access_remedy(pid)));
  }
  return Pagemap{std::move(fd)};
}

std::size_t Pagemap::read(Hva hva, std::span<std::uint64_t> entries) const {
  constexpr std::size_t kEntry = sizeof(std::uint64_t);
  const auto offset = static_cast<off_t>((hva >> kPageShift) * kEntry);
  ssize_t got = 0;
  do {
    got = ::pread(fd_.get(), entries.data(), entries.size_bytes(), offset);
  } while (got < 0 && errno == EINTR);
  return got < 0 ? 0 : static_cast<std::size_t>(got) / kEntry;
}

} // namespace vmemfs
