// SPDX-License-Identifier: MIT
#include "fs/save/save_job.h"

#include "core/text.h"
#include "fs/save/image/image_output.h"
#include "fs/save/packed/packed_copy.h"
#include "fs/save/packed/packed_formats.h"
#include "fs/save/save_format.h"

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <filesystem>
#include <fmt/format.h>
#include <system_error>
#include <thread>
#include <unistd.h>
#include <utility>

namespace vmemfs {
namespace {

constexpr std::string_view kOrigin = "save";
constexpr std::chrono::seconds kMaxResume{10}; ///< until the guest must be seen to run again
constexpr std::chrono::milliseconds kBetweenPolls{5};
constexpr std::chrono::milliseconds kBetweenLooks{20}; ///< at the epoch when the pause begins
constexpr int kMaxLooks = 6;
constexpr unsigned kMaxThreads = 4;

unsigned thread_count(unsigned wanted) {
  return wanted > 0 ? wanted : std::clamp(std::thread::hardware_concurrency(), 1U, kMaxThreads);
}

Result<void> write_text(const PartialFile& file, const std::string& text) {
  const StreamOutput output{file.fd(), file.path()};
  return output.write(std::as_bytes(std::span{text}));
}

/// A path with which `file` may be compared, as far as its directory exists.
std::filesystem::path comparable(const std::string& file) {
  std::error_code error;
  const std::filesystem::path path{file};
  const auto directory =
      std::filesystem::weakly_canonical(path.has_parent_path() ? path.parent_path() : ".", error);
  return (error ? path.parent_path() : directory) / path.filename();
}

/// Neither may be written in the other's place.
Result<void> check_sidecar(const std::string& sidecar, const std::string& image) {
  const std::string suffix{kPartialSuffix};
  const auto same = [](const std::string& one, const std::string& other) {
    return comparable(one) == comparable(other);
  };
  if (same(sidecar, image) || same(sidecar, image + suffix) || same(sidecar + suffix, image)) {
    return fail(ErrorKind::invalid, kOrigin,
                fmt::format("cannot write the sidecar '{}': the image '{}' takes that name; give another one",
                            printable(sidecar), printable(image)));
  }
  return {};
}

/// Standard output may be a file, which the sidecar must not be older than. Others have no such thing.
Result<void> sync_stdout() {
  if (::fsync(STDOUT_FILENO) != 0 && errno != EINVAL && errno != EROFS && errno != ENOTSUP) {
    return write_failure(errno, "standard output");
  }
  return {};
}

Result<void> check_stdout() {
  if (::isatty(STDOUT_FILENO) == 1) {
    return fail(ErrorKind::invalid, kOrigin,
                "cannot write an image to a terminal; redirect standard output to a pipe or a file");
  }
  return {};
}

} // namespace

std::optional<GuestPause::Clock::time_point> SaveJob::paused_since() {
  const MutexLock lock{mutex_};
  return options_.pause && pause_ && !pause_->length() ? std::optional{pause_->begun()} : std::nullopt;
}

void SaveJob::release_guest() {
  const MutexLock lock{mutex_};
  released_ = true;
  if (pause_) {
    pause_->end();
  }
}

std::vector<std::string> SaveJob::partial_paths() {
  const MutexLock lock{mutex_};
  return partial_paths_;
}

Result<GuestInfo> SaveJob::read_info(const MountedVm& vm) const {
  return vm.read_text("info", kMaxGuestInfo).and_then([](const std::string& text) {
    return parse_guest_info(text);
  });
}

std::string SaveJob::sidecar_path() const {
  if (!options_.sidecar.empty() || options_.to_stdout()) {
    return options_.sidecar;
  }
  return options_.file + ".json";
}

Result<PartialFile> SaveJob::create_file(const std::string& path) {
  auto file = PartialFile::create(path, options_.overwrite ? Overwrite::yes : Overwrite::no);
  if (file) {
    const MutexLock lock{mutex_};
    partial_paths_.push_back(file->partial_path());
  }
  return file;
}

Result<SaveJob::Files> SaveJob::create_files(const MountedVm& vm) {
  Files files;
  if (!options_.to_stdout()) {
    if (auto apart = check_sidecar(sidecar_path(), options_.file); !apart) {
      return tl::unexpected{std::move(apart.error())};
    }
  }
  if (options_.to_stdout()) {
    if (auto usable = check_stdout(); !usable) {
      return tl::unexpected{std::move(usable.error())};
    }
  } else {
    auto image = create_file(options_.file);
    if (!image) {
      return tl::unexpected{std::move(image.error())};
    }
    files.image.emplace(std::move(*image));
    const auto bytes = image_bytes(vm, info_of(options_.format));
    if (!bytes) {
      return tl::unexpected{bytes.error()};
    }
    if (auto enough = check_free_space(*files.image, *bytes); !enough) {
      return tl::unexpected{std::move(enough.error())};
    }
  }
  if (const std::string path = sidecar_path(); !path.empty()) {
    auto sidecar = create_file(path);
    if (!sidecar) {
      return tl::unexpected{std::move(sidecar.error())};
    }
    files.sidecar.emplace(std::move(*sidecar));
  }
  return files;
}

Result<void> SaveJob::describe_guest(const MountedVm& vm) {
  auto info = read_info(vm);
  if (!info) {
    return tl::unexpected{std::move(info.error())};
  }
  auto maps = vm.read_text("maps");
  if (!maps) {
    return tl::unexpected{std::move(maps.error())};
  }
  if (maps->find_first_not_of('\n') == std::string::npos) {
    return fail(
        ErrorKind::not_found, kOrigin,
        fmt::format("cannot save '{}': it has no memory now, its file 'maps' is empty; start again when "
                    "the guest has some",
                    printable(vm.path())));
  }
  const SaveFormatInfo& format = info_of(options_.format);
  report_.directory = vm.path();
  report_.file = options_.file;
  report_.format = format.name;
  report_.source = format.file;
  report_.packed = format.packed;
  report_.before = std::move(*info);
  stopped_by_mount_ =
      mount_ && !report_.before.before_attaching.empty() && report_.before.before_attaching != "stopped";
  if (stopped_by_mount_) { // "running", or "unknown"
    report_.before.state = report_.before.before_attaching;
  }
  report_.epoch_begin = report_.before.epoch;
  report_.maps = std::move(*maps);
  report_.mode = report_.before.is_saved()             ? SaveMode::saved
                 : options_.pause || stopped_by_mount_ ? SaveMode::paused // it cannot be read while it runs
                                                       : SaveMode::live;
  return {};
}

Result<void> SaveJob::pause_guest(const MountedVm& vm) {
  if (report_.mode != SaveMode::paused) {
    return {};
  }
  if (const SaveFormatInfo& format = info_of(options_.format); format.has_headers) {
    // Headers that are made may take seconds (the search for a kernel); what was found is remembered.
    if (const auto source = MemorySource::open(vm, format); !source) {
      return tl::unexpected{source.error()};
    }
  }
  auto pause = GuestPause::begin(vm);
  if (!pause) {
    return tl::unexpected{std::move(pause.error())};
  }
  {
    const MutexLock lock{mutex_};
    pause_.emplace(std::move(*pause));
    if (released_) { // while the pause began
      pause_->end();
      return fail(ErrorKind::interrupted, kOrigin, "stopped");
    }
  }
  if (auto settled = wait_for_constant_epoch(vm); !settled) {
    return settled;
  }
  auto maps = vm.read_text("maps"); // it may have changed until now
  if (!maps) {
    return tl::unexpected{std::move(maps.error())};
  }
  report_.maps = std::move(*maps);
  return {};
}

/// On a busy host a vCPU thread may fall asleep a moment after the hypervisor has said that the VM is paused.
/// To the mount that looks like a run, which would be one in the image if it were seen only while that is
/// read.
Result<void> SaveJob::wait_for_constant_epoch(const MountedVm& vm) {
  std::optional<std::uint64_t> before;
  for (int looks = 0; looks < kMaxLooks; ++looks) {
    const auto info = read_info(vm);
    if (!info) {
      return tl::unexpected{info.error()};
    }
    report_.epoch_begin = info->epoch;
    if (before == info->epoch) {
      break;
    }
    before = info->epoch;
    std::this_thread::sleep_for(kBetweenLooks);
  }
  return {};
}

/// Called by the last reader, so that the guest is paused no longer than it is read.
void SaveJob::reading_ended(const MountedVm& vm) {
  if (auto info = read_info(vm)) {
    report_.at_end = std::move(*info);
  }
  const auto maps = vm.read_text("maps");
  report_.maps_changed = maps.has_value() && *maps != report_.maps;
  release_guest();
}

Result<void> SaveJob::copy(const MountedVm& vm, Files& files, const std::stop_token& stop) {
  auto source = MemorySource::open(vm, info_of(options_.format));
  if (!source) {
    return tl::unexpected{std::move(source.error())};
  }
  if (source->size() == 0) {
    return fail(ErrorKind::not_found, kOrigin,
                fmt::format("cannot save '{}': its file '{}' is empty; start again when the guest has memory",
                            printable(vm.path()), info_of(options_.format).file));
  }
  if (report_.packed) {
    return copy_packed(vm, *source, files, stop);
  }
  report_.bytes = source->size();
  progress_.size = source->size();
  const auto output = files.image ? ImageCopy::Output{SparseOutput{files.image->fd(), files.image->path()}}
                                  : ImageCopy::Output{StreamOutput{STDOUT_FILENO, "standard output"}};
  ImageCopy copy{
      {*source, unreadable_, progress_, [&] { reading_ended(vm); }}, output, thread_count(options_.threads)};
  return copy.run(stop).map([this](const std::string& sha256) {
    report_.sha256 = sha256;
    report_.data_bytes = progress_.data;
  });
}

Result<void> SaveJob::copy_packed(const MountedVm& vm, MemorySource& source, const Files& files,
                                  const std::stop_token& stop) {
  const auto output = files.image ? PackedOutput{files.image->fd(), files.image->path(), true}
                                  : PackedOutput{STDOUT_FILENO, "standard output", false};
  auto image = make_packed_image(options_.format, source, output);
  if (!image) {
    return tl::unexpected{std::move(image.error())};
  }
  progress_.size = image->chunks.bytes();
  PackedCopy copy{{source, image->chunks, *image->writer, unreadable_, progress_, [&] { reading_ended(vm); }},
                  thread_count(options_.threads)};
  return copy.run(stop).map([this](const WrittenImage& written) {
    report_.bytes = written.bytes;
    report_.sha256 = written.sha256;
    report_.data_bytes = progress_.data;
  });
}

/// A VM that ends gives errors first as if its pages could not be read.
Result<void> SaveJob::check_end(const MountedVm& vm) {
  report_.unreadable = unreadable_.listed();
  report_.unreadable_bytes = unreadable_.bytes();
  report_.unreadable_not_listed = unreadable_.not_listed();
  if (!report_.at_end && report_.unreadable_bytes > 0) {
    return fail(ErrorKind::vm_gone, kOrigin,
                fmt::format("cannot save '{}': the VM has ended while it was read", printable(vm.path())));
  }
  report_.state_after = final_state(vm);
  const MutexLock lock{mutex_};
  if (pause_ && pause_->length()) {
    const auto before = stopped_by_mount_ ? pause_->begun() - begun_ : GuestPause::Clock::duration{0};
    report_.pause = std::chrono::duration_cast<std::chrono::milliseconds>(before + *pause_->length());
  }
  return {};
}

/// After a pause of ours, waits until the guest runs again.
std::string SaveJob::final_state(const MountedVm& vm) const {
  const bool expected = report_.mode == SaveMode::paused && report_.before.is_running();
  const auto deadline = std::chrono::steady_clock::now() + kMaxResume;
  for (;;) {
    const auto info = read_info(vm);
    if (!info) {
      return info.error().kind == ErrorKind::vm_gone ? "ended" : "unknown";
    }
    if (!expected || info->is_running() || std::chrono::steady_clock::now() >= deadline) {
      return info->state;
    }
    std::this_thread::sleep_for(kBetweenPolls);
  }
}

Result<void> SaveJob::publish(Files& files) {
  report_.ended = std::chrono::system_clock::now();
  if (auto synced = files.image ? files.image->sync() : sync_stdout(); !synced) {
    return synced;
  }
  if (files.sidecar) {
    auto done = write_text(*files.sidecar, sidecar_text(report_))
                    .and_then([&] { return files.sidecar->sync(); })
                    .and_then([&] { return files.sidecar->publish(); });
    if (!done) {
      return done;
    }
  }
  if (files.image) {
    if (auto published = files.image->publish(); !published) {
      if (files.sidecar) {
        files.sidecar->withdraw();
      }
      return published;
    }
  }
  return {};
}

/// The end of a mount of our own would do it as well, but a failure would be seen by nobody.
void SaveJob::detach_guest(const MountedVm& vm) {
  if (!mount_) {
    return;
  }
  if (const auto detached = detach_vm(vm); !detached && detached.error().kind != ErrorKind::vm_gone) {
    report_.detach_failure = detached.error().text;
  }
}

/// In a mount, or in one that is made for it.
Result<MountedVm> SaveJob::find_vm(const std::stop_token& stop) {
  const bool is_spec = is_vm_spec(options_.vm);
  auto found = is_spec ? fail(ErrorKind::not_found, kOrigin, "") : MountedVm::find(options_.vm);
  const bool is_path = options_.vm.find('/') != std::string::npos || options_.vm.starts_with('.');
  if (found || found.error().kind != ErrorKind::not_found || (is_path && !is_spec)) {
    return found;
  }
  begun_ = GuestPause::Clock::now();
  auto mount = PrivateMount::start(options_.vm, stop);
  if (!mount) {
    Error error = std::move(mount.error());
    error.text = is_spec ? fmt::format("cannot save '{}': {}", printable(options_.vm), error.text)
                         : fmt::format("{}; and no driver can open it: {}", found.error().text, error.text);
    return tl::unexpected{std::move(error)};
  }
  mount_.emplace(std::move(*mount));
  return MountedVm::find(mount_->vm());
}

Result<SaveReport> SaveJob::run(const std::stop_token& stop) {
  report_.started = std::chrono::system_clock::now();
  const auto vm = find_vm(stop);
  if (!vm) {
    return tl::unexpected{vm.error()};
  }
  if (auto described = describe_guest(*vm); !described) {
    return tl::unexpected{std::move(described.error())};
  }
  auto files = create_files(*vm);
  if (!files) {
    return tl::unexpected{std::move(files.error())};
  }
  auto done = pause_guest(*vm).and_then([&] { return copy(*vm, *files, stop); });
  release_guest();
  done = done.and_then([&] { return check_end(*vm); }).and_then([&] { return publish(*files); });
  if (!done) {
    return tl::unexpected{std::move(done.error())};
  }
  detach_guest(*vm);
  return report_;
}

} // namespace vmemfs
