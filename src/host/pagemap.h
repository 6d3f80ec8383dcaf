// Which pages of another process are there: /proc/PID/pagemap (format: the kernel's
// admin-guide/mm/pagemap.rst; one 64-bit entry a page).
#pragma once

#include "core/error.h"
#include "host/hva.h"
#include "util/unique_fd.h"

#include <cstddef>
#include <cstdint>
#include <span>
#include <sys/types.h>
#include <utility>

namespace vmemfs {

class Pagemap {
public:
  /// Not open: read() must not be called.
  Pagemap() = default;

  /// Bound to the address space that the process has now. permission: the text names the remedy.
  static Result<Pagemap> open(pid_t pid);

  /// Fills `entries` for the pages from `hva` on. Number of entries filled: fewer at the end of the
  /// address space, 0 once the process has ended or on an error. No allocation; thread-safe.
  [[nodiscard]] std::size_t read(Hva hva, std::span<std::uint64_t> entries) const;

  /// In memory (bit 63) or swapped out (bit 62): reading it through the process allocates nothing new.
  [[nodiscard]] static constexpr bool is_there(std::uint64_t entry) { return (entry >> 62) != 0; }

  /// Whether a page of [begin, begin + size) is there after all: read() takes a huge page that the
  /// kernel is moving, or that is poisoned, for absent. Always false before Linux 6.7, which can't tell.
  [[nodiscard]] bool any_huge_page(Hva begin, std::size_t size) const;

private:
  explicit Pagemap(UniqueFd fd) : fd_{std::move(fd)} {}

  UniqueFd fd_;
};

} // namespace vmemfs
