// SPDX-License-Identifier: MIT
#include "drivers/leechcore/leechcore_driver.h"

#include "core/text.h"
#include "driver/kit/read_pieces.h"
#include "util/unique_fd.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>
#include <utility>

namespace vmemfs::leechcore {
namespace {

using Clock = std::chrono::steady_clock;

constexpr std::string_view kOrigin = "leechcore";
/// Of each page beyond the first, about what a fast FPGA and a copy take.
constexpr std::chrono::nanoseconds kPageCost{1500};
constexpr std::chrono::seconds kMaxCallCost{1};

Result<std::string> read_map_file(const std::string& path) {
  const UniqueFd file{::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK)};
  struct stat status {};
  if (!file || ::fstat(file.get(), &status) != 0) {
    return fail_errno(errno, kOrigin, fmt::format("cannot open the memory map '{}'", path));
  }
  if (!S_ISREG(status.st_mode) || status.st_size > static_cast<off_t>(kMaxText / 2)) {
    return fail(ErrorKind::invalid, kOrigin,
                fmt::format("'{}' is not a memory map: it has to be a file of at most 512 KiB", path));
  }
  std::string text(static_cast<std::size_t>(status.st_size), '\0');
  const ssize_t size = ::pread(file.get(), text.data(), text.size(), 0);
  if (size < 0) {
    return fail_errno(errno, kOrigin, fmt::format("cannot read the memory map '{}'", path));
  }
  text.resize(static_cast<std::size_t>(size));
  return text;
}

/// The user's map; empty if none was named.
Result<std::vector<DeviceRange>> users_ranges(const std::string& path) {
  if (path.empty()) {
    return std::vector<DeviceRange>{};
  }
  auto ranges = read_map_file(path).and_then([](const std::string& text) { return parse_map_file(text); });
  if (!ranges) {
    ranges.error().text = fmt::format("cannot use memmap={}: {}", path, ranges.error().text);
  }
  return ranges;
}

/// LeechCore leaves out lines of a map that it does not like, without an error.
Result<std::vector<DeviceRange>> device_ranges(const WorkerClient::Opened& opened,
                                               const std::vector<DeviceRange>& wanted) {
  auto ranges = parse_device_map(opened.map);
  if (!ranges) {
    ranges.error().text =
        fmt::format("LeechCore's memory map makes no sense: {}; name one with memmap=", ranges.error().text);
    return ranges;
  }
  if (!wanted.empty() && *ranges != wanted) {
    return fail(ErrorKind::invalid, kOrigin,
                fmt::format("LeechCore took another memory map than memmap= has: {} of {} ranges",
                            ranges->size(), wanted.size()));
  }
  if (ranges->empty()) {
    *ranges = all_up_to(opened.device.max_address);
  }
  if (ranges->empty()) {
    return fail(ErrorKind::unsupported, kOrigin,
                "LeechCore does not know where the device has memory; name the ranges with memmap=");
  }
  return ranges;
}

std::string device_text(const LeechcoreOptions& options) {
  if (options.options.empty()) {
    return options.device;
  }
  const bool has_some = options.device.find("://") != std::string::npos;
  return fmt::format("{}{}{}", options.device, has_some ? "," : "://", options.options);
}

VmIdentity identity_of(const LeechcoreOptions& options, const std::string& device) {
  const std::string kind = options.device.substr(0, options.device.find("://"));
  return {.name = options.remote.empty() ? kind : fmt::format("{}-{}", kind, options.remote),
          .uuid = "",
          .driver = "leechcore",
          .key = fmt::format("leechcore:{}:{}", options.remote, device)};
}

} // namespace

Result<std::unique_ptr<Driver>> LeechcoreDriver::attach(const LeechcoreOptions& options,
                                                        const std::string& program,
                                                        const DriverContext& context) {
  auto wanted = users_ranges(options.map_file);
  if (!wanted) {
    return tl::unexpected{std::move(wanted.error())};
  }
  const std::string device = device_text(options);
  VmIdentity identity = identity_of(options, device);
  auto listener = std::make_shared<ListenerSlot>();
  auto client =
      WorkerClient::start({program, fmt::format("leechcore {}", printable(identity.name)), options.timeout},
                          context.watcher, [listener] { listener->emit(VmEvent::gone); });
  if (!client) {
    return tl::unexpected{std::move(client.error())};
  }
  auto opened = (*client)->open({options.library, device, options.remote, to_device_map(*wanted)});
  if (!opened) {
    return tl::unexpected{std::move(opened.error())};
  }
  const bool users_map = !wanted->empty();
  auto map = device_ranges(*opened, *wanted).and_then([&](const std::vector<DeviceRange>& ranges) {
    return to_memory_map(ranges, opened->device.is_writable, printable(identity.name));
  });
  if (!map) {
    return tl::unexpected{std::move(map.error())};
  }
  std::unique_ptr<LeechcoreDriver> driver{new LeechcoreDriver{std::move(identity), std::move(listener),
                                                              std::move(*client), opened->device,
                                                              std::move(*map), users_map}};
  driver->measure();
  return driver;
}

LeechcoreDriver::LeechcoreDriver(VmIdentity identity, std::shared_ptr<ListenerSlot> listener,
                                 std::unique_ptr<WorkerClient> client, const Reply& device, MemoryMap map,
                                 bool users_map)
    : identity_{std::move(identity)}, listener_{std::move(listener)}, device_{device},
      map_{std::make_shared<const MemoryMap>(std::move(map))}, users_map_{users_map},
      memory_{std::move(client)} {}

/// The cost of a call is that of the first one, which reads a page.
void LeechcoreDriver::measure() {
  std::array<std::byte, kPageSize> page;
  ReadPiece piece{map_->regions().front().range.begin, page, 0, std::nullopt};
  const auto begin = Clock::now();
  read({&piece, 1});
  cost_ = {.call = std::min<std::chrono::nanoseconds>(Clock::now() - begin, kMaxCallCost), .page = kPageCost};
}

void LeechcoreDriver::read(std::span<ReadPiece> pieces) {
  if (gone()) {
    fail_pieces(pieces, ErrorKind::vm_gone);
    return;
  }
  memory_.read(pieces, *map_);
}

WriteOutcome LeechcoreDriver::write(Gpa gpa, std::span<const std::byte> bytes) {
  if (gone()) {
    return {0, Error{ErrorKind::vm_gone, std::string{kOrigin}, "the worker process of LeechCore has ended"}};
  }
  return memory_.write(gpa, bytes, *map_);
}

AccessReport LeechcoreDriver::access() const {
  const auto& version = device_.version;
  return {.map = users_map_ ? "the file of memmap=" : "LeechCore's",
          .ram = fmt::format("LeechCore {}.{}.{} in process {}, {} memory", version[0], version[1],
                             version[2], memory_.worker(), device_.is_volatile ? "live" : "saved"),
          .registers = "none: LeechCore reads no registers",
          .run_control = "none: LeechCore cannot pause",
          .writes = device_.is_writable ? "by LeechCore, in units of 8 bytes"
                                        : "none: LeechCore opened the device read only"};
}

} // namespace vmemfs::leechcore
