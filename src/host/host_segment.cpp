// SPDX-License-Identifier: MIT
#include "host/host_segment.h"

#include "core/gpa.h"
#include "core/text.h"
#include "host/proc_maps.h"
#include "host/userfault.h"
#include "util/users/accounts.h"
#include "util/work_limit.h"

#include <algorithm>
#include <chrono>
#include <fmt/format.h>
#include <map>
#include <sys/resource.h>
#include <tuple>
#include <utility>

namespace vmemfs {
namespace {

/// Time for the segments of one process; milliseconds are enough where nobody tries to be slow.
constexpr std::chrono::seconds kMaxTime{5};

/// Descriptors of backing files.
OwnerShares& file_shares() {
  static OwnerShares shares{[] {
    rlimit limit{};
    ::getrlimit(RLIMIT_NOFILE, &limit);
    return OwnerShares::Limits{limit.rlim_cur / 16, limit.rlim_cur / 4, limit.rlim_cur / 2};
  }()};
  return shares;
}

/// Mappings of backing files; the kernel gives a process some 65,000 (vm.max_map_count).
OwnerShares& view_shares() {
  static OwnerShares shares{{2048, 16384, 32768}};
  return shares;
}

/// What a segment keeps of a file.
struct SharedFile {
  OwnerShares::Share share;
  BackingFile file;
};

constexpr std::string_view kAnonymousHugePages = "/anon_hugepage (deleted)";

/// Whole pages, sorted, neighbours joined.
std::vector<HvaRange> normalized(std::span<const HvaRange> ranges) {
  std::vector<HvaRange> sorted;
  for (const HvaRange& range : ranges) {
    if (!range.empty()) {
      const Hva end =
          range.end > ~kPageSize ? ~(kPageSize - 1) : (range.end + kPageSize - 1) & ~(kPageSize - 1);
      sorted.push_back({range.begin & ~(kPageSize - 1), end});
    }
  }
  std::ranges::sort(sorted, {}, &HvaRange::begin);
  std::vector<HvaRange> joined;
  for (const HvaRange& range : sorted) {
    if (!joined.empty() && range.begin <= joined.back().end) {
      joined.back().end = std::max(joined.back().end, range.end);
    } else {
      joined.push_back(range);
    }
  }
  return joined;
}

/// Private memory without a file: heap, anonymous mappings (also named ones), /dev/zero.
bool is_anonymous(const Vma& vma) {
  return !vma.shared && (vma.path.empty() || vma.path == "[heap]" || vma.path == "[stack]" ||
                         vma.path.starts_with("[anon:") || vma.path == "/dev/zero");
}

/// Among files with a bracketed name in maps, only named shared anonymous memory is a file.
bool may_have_file(const Vma& vma) {
  return vma.has_file() && (vma.path.starts_with('/') || vma.path.starts_with("[anon_shmem:"));
}

class Planner {
public:
  Planner(const Process& process, uid_t owner, std::vector<Vma> maps, std::vector<HvaRange> userfault)
      : process_{process}, owner_{owner}, maps_{std::move(maps)}, userfault_{std::move(userfault)} {}

  Result<std::vector<HostSegment>> plan(std::span<const HvaRange> ranges) {
    for (const HvaRange& range : normalized(ranges)) {
      if (auto added = add_range(range); !added) {
        return tl::unexpected{added.error()};
      }
    }
    for (HostSegment& segment : segments_) {
      map_view(segment);
    }
    return std::move(segments_);
  }

private:
  Result<void> add_range(const HvaRange& range) {
    Hva at = range.begin;
    while (at < range.end) {
      const Vma* const vma = find_vma(maps_, at);
      const HvaRange piece{at, std::min(range.end, vma != nullptr ? vma->range.end : next_mapped(at))};
      auto segment = vma != nullptr ? classify(*vma, piece) : refuse(piece, "nothing is mapped there");
      if (!segment) {
        return tl::unexpected{segment.error()};
      }
      append(std::move(*segment));
      if (segments_.size() > kMaxSegments) {
        return fail(ErrorKind::unsupported, "proc",
                    fmt::format("cannot access guest memory: it is in more than {} pieces of process {}",
                                kMaxSegments, process_.pid()));
      }
      if (WorkLimit::over()) {
        return WorkLimit::exceeded("proc");
      }
      at = piece.end;
    }
    return {};
  }

  [[nodiscard]] Hva next_mapped(Hva hva) const {
    const auto next =
        std::ranges::upper_bound(maps_, hva, {}, [](const Vma& vma) { return vma.range.begin; });
    return next == maps_.end() ? ~Hva{0} : next->range.begin;
  }

  static Result<HostSegment> refuse(const HvaRange& range, std::string why) {
    HostSegment segment;
    segment.range = range;
    segment.detail = std::move(why);
    return segment;
  }

  Result<HostSegment> classify(const Vma& vma, const HvaRange& range) {
    if (!vma.readable) {
      return refuse(range, "mapped without read access");
    }
    HostSegment segment;
    segment.range = range;
    if (is_anonymous(vma)) {
      segment.access = Access::process;
      segment.anonymous = true;
      segment.detail = "private memory, process_vm_readv";
    } else if (!vma.shared && vma.path == kAnonymousHugePages) {
      segment.access = Access::process_guard;
      segment.detail = "private huge pages, process_vm_readv, zeros where none is there";
    } else if (!may_have_file(vma)) {
      return refuse(range, fmt::format("not memory: {}", printable(vma.path, 200)));
    } else if (auto filled = fill_from_file(vma, segment); !filled) {
      if (filled.error().kind != ErrorKind::unsupported) {
        return tl::unexpected{filled.error()};
      }
      return refuse(range, filled.error().text);
    }
    prefer_userfault_handler(vma, segment);
    return segment;
  }

  Result<void> fill_from_file(const Vma& vma, HostSegment& segment) {
    auto file = open_file(vma);
    if (!file) {
      return tl::unexpected{file.error()};
    }
    segment.file = *file;
    segment.file_offset = vma.file_offset + (segment.range.begin - vma.range.begin);
    const std::string path = printable(vma.path, 200);
    if (vma.shared) {
      segment.access = Access::file;
      segment.written_by_process = vma.writable;
      segment.detail = fmt::format("shared {} {}", segment.file->is_hugetlb() ? "huge pages" : "file", path);
    } else {
      segment.access = Access::process_guard;
      segment.detail =
          fmt::format("private mapping of {}, process_vm_readv where pages are there, else the file", path);
    }
    return {};
  }

  /// Only the handler has the content of a missing page; waiting for it, and the growth, are intended.
  void prefer_userfault_handler(const Vma& vma, HostSegment& segment) const {
    const auto covers = [&](const HvaRange& range) { return range.contains(vma.range.begin); };
    if (std::ranges::any_of(userfault_, covers)) {
      segment.access = Access::process;
      segment.file.reset();
      segment.file_offset = 0;
      segment.written_by_process = false;
      segment.anonymous = false;
      segment.detail = "memory with a userfaultfd handler, process_vm_readv";
    }
  }

  Result<std::shared_ptr<const BackingFile>> open_file(const Vma& vma) {
    const FileId id{vma.device_major, vma.device_minor, vma.inode};
    if (const auto known = files_.find(id); known != files_.end()) {
      return known->second;
    }
    if (files_.size() >= kMaxBackingFiles) {
      return fail(ErrorKind::unsupported, "proc",
                  fmt::format("not opened: the guest memory of a VM is read from at most {} files",
                              kMaxBackingFiles));
    }
    auto share = file_shares().take(owner_);
    if (!share) {
      return fail(
          ErrorKind::unsupported, "proc",
          fmt::format("not opened: the VMs of uid {} have as many files as they may; detach others, or "
                      "raise the limit of open files (ulimit -n)",
                      owner_));
    }
    auto file = BackingFile::open(process_, vma);
    if (!file) {
      return tl::unexpected{file.error()};
    }
    const auto shared = std::make_shared<const SharedFile>(std::move(*share), std::move(*file));
    return files_[id] = {shared, &shared->file};
  }

  void append(HostSegment segment) {
    if (!segments_.empty()) {
      HostSegment& last = segments_.back();
      const bool continues = last.range.end == segment.range.begin && last.access == segment.access &&
                             last.file == segment.file && last.anonymous == segment.anonymous &&
                             last.detail == segment.detail &&
                             last.written_by_process == segment.written_by_process &&
                             (!last.file || last.file_offset + last.range.size() == segment.file_offset);
      if (continues) {
        last.range.end = segment.range.end;
        return;
      }
    }
    segments_.push_back(std::move(segment));
  }

  /// Without a view, pread is used for all reads, so a failure costs speed only.
  void map_view(HostSegment& segment) {
    if (segment.access != Access::file) {
      return;
    }
    if (segment.file->residency_known() && views_ < kMaxViews) {
      segment.share = view_shares().take(owner_);
    }
    if (segment.share) {
      ++views_;
      if (auto view = SharedView::map(segment.file->fd(), segment.file_offset, segment.range.size())) {
        segment.view = std::move(*view);
      }
    }
    segment.detail += segment.view ? ", mapped" : ", pread";
    segment.detail += fmt::format(" ({})", segment.file->way());
  }

  using FileId = std::tuple<std::uint32_t, std::uint32_t, std::uint64_t>;

  const Process& process_;
  const uid_t owner_;
  std::vector<Vma> maps_;
  std::vector<HvaRange> userfault_;
  std::map<FileId, std::shared_ptr<const BackingFile>> files_;
  std::vector<HostSegment> segments_;
  std::size_t views_ = 0;
};

} // namespace

Result<std::vector<HostSegment>> plan_segments(const ProcessSpace& space, std::span<const HvaRange> ranges) {
  const WorkLimit limit{WorkLimit::Clock::now() + kMaxTime};
  const auto owner = process_owner(space.pid());
  if (!owner) {
    return tl::unexpected{owner.error()};
  }
  auto maps = read_maps(space);
  if (!maps) {
    return tl::unexpected{maps.error()};
  }
  auto userfault = userfault_ranges(space);
  if (!userfault) {
    return tl::unexpected{userfault.error()};
  }
  return Planner{space.process(), *owner, std::move(*maps), std::move(*userfault)}.plan(ranges);
}

} // namespace vmemfs
