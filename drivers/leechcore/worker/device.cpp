// SPDX-License-Identifier: MIT
#include "drivers/leechcore/worker/device.h"

#include "core/text.h"

#include <cstring>
#include <fmt/format.h>
#include <limits>
#include <string_view>

namespace vmemfs::leechcore {
namespace {

constexpr std::string_view kOrigin = "leechcore";
constexpr std::uint64_t kIgnored = std::numeric_limits<std::uint64_t>::max(); ///< address of no element
constexpr std::uint32_t kMaxErrorText = 4096;

Result<void> copy_name(char (&to)[abi::kMaxName], const std::string& from, std::string_view what) {
  if (from.size() >= sizeof to) {
    return fail(
        ErrorKind::invalid, kOrigin,
        fmt::format("the {} has {} characters; LeechCore takes {}; use a shorter path or fewer options", what,
                    from.size(), sizeof to - 1));
  }
  std::memcpy(to, from.data(), from.size());
  return {};
}

/// The library's reason, if it gave one. UTF-16: what is not ASCII becomes a question mark.
std::string reason_of(const Library& library, abi::ErrorInfo* info) {
  std::string text;
  if (info == nullptr) {
    return text;
  }
  if (info->version == abi::kErrorVersion && info->text_size <= kMaxErrorText) {
    for (std::uint32_t i = 0; i < info->text_size; ++i) {
      char16_t unit = 0;
      std::memcpy(&unit, reinterpret_cast<const char*>(info) + abi::kErrorText + 2 * std::size_t{i}, 2);
      if (unit == 0) {
        break;
      }
      text += unit < 0x80 ? static_cast<char>(unit) : '?';
    }
  }
  library.free(info);
  return text;
}

tl::unexpected<Error> refused(const OpenRequest& request, const std::string& reason) {
  const std::string place =
      request.remote.empty() ? "" : fmt::format(" of '{}'", printable(request.remote, abi::kMaxName));
  return fail(
      ErrorKind::source_failed, kOrigin,
      fmt::format("LeechCore cannot open the device '{}'{}{}{}; check that it is connected, its driver "
                  "is installed and this user may use it",
                  printable(request.device, abi::kMaxName), place, reason.empty() ? "" : ": ",
                  printable(trim(reason), 400)));
}

} // namespace

Result<std::unique_ptr<Device>> Device::open(const OpenRequest& request) {
  abi::Config config{};
  config.version = abi::kConfigVersion;
  config.verbosity = abi::kPrintErrors;
  // A known map needs no detection, which takes long and may be wrong.
  config.max_address = request.map.empty() ? 0 : kIgnored;
  auto copied = copy_name(config.device, request.device, "device").and_then([&] {
    return copy_name(config.remote, request.remote, "remote");
  });
  if (!copied) {
    return tl::unexpected{std::move(copied.error())};
  }
  const auto library = Library::load(request.library);
  if (!library) {
    return tl::unexpected{library.error()};
  }
  abi::ErrorInfo* info = nullptr;
  abi::Handle handle = library->create(&config, &info);
  const std::string reason = reason_of(*library, info);
  if (handle == nullptr) {
    return refused(request, reason);
  }
  abi::Scatter** elements = nullptr;
  if (library->alloc(0, nullptr, kMaxPages, &elements) == 0 || elements == nullptr) {
    library->close(handle);
    return fail(ErrorKind::no_memory, kOrigin, "LeechCore has no memory for a scatter call");
  }
  std::unique_ptr<Device> device{new Device{*library, config, handle, elements}};
  if (!request.map.empty() &&
      library->command(handle, abi::kCmdMapSet, static_cast<std::uint32_t>(request.map.size()),
                       request.map.data(), nullptr, nullptr) == 0) {
    return fail(ErrorKind::source_failed, kOrigin, "LeechCore refuses the memory map; check memmap=");
  }
  return device;
}

Device::Device(const Library& library, const abi::Config& config, abi::Handle handle, abi::Scatter** elements)
    : library_{library}, config_{config}, handle_{handle}, elements_{elements} {}

Device::~Device() {
  library_.free(static_cast<void*>(elements_));
  library_.close(handle_);
}

std::uint64_t Device::option(std::uint64_t number, std::uint64_t fallback) const {
  std::uint64_t value = fallback;
  return library_.get_option(handle_, number, &value) != 0 ? value : fallback;
}

Reply Device::describe() const {
  const auto version = [this](std::uint64_t number) { return static_cast<std::uint32_t>(option(number, 0)); };
  return {.ok = true,
          .sequence = 0,
          .text_size = 0,
          .is_volatile = config_.is_volatile != 0,
          .is_writable = config_.is_writable != 0,
          .max_address = option(abi::kOptMaxAddress, config_.max_address),
          .version = {version(abi::kOptVersionMajor), version(abi::kOptVersionMinor),
                      version(abi::kOptVersionRevision)}};
}

// The size that comes with the text is that of its allocation.
std::string Device::map() const {
  void* out = nullptr;
  std::uint32_t size = 0;
  std::string text;
  if (library_.command(handle_, abi::kCmdMapGet, 0, nullptr, &out, &size) != 0 && out != nullptr) {
    const char* const begin = static_cast<const char*>(out);
    text.assign(begin, ::strnlen(begin, size));
  }
  if (out != nullptr) {
    library_.free(out);
  }
  return text;
}

Result<void> Device::scatter(SharedArea& area, Operation operation, std::uint32_t count) {
  for (std::uint32_t i = 0; i < count; ++i) {
    const Element& wanted = area.elements[i];
    if (wanted.size > kPageSize || wanted.offset > kPageSize - wanted.size) {
      return fail(ErrorKind::invalid, kOrigin, fmt::format("element {} does not lie within a page", i));
    }
    // Everything is set again: the library changes addresses, and skips an element that is marked as done.
    abi::Scatter& element = *elements_[i];
    element.version = abi::kScatterVersion;
    element.done = 0;
    element.address = wanted.page + wanted.offset;
    element.bytes = area.pages[i].data() + wanted.offset;
    element.size = wanted.size;
    element.stack_index = 0;
  }
  (operation == Operation::write ? library_.write : library_.read)(handle_, count, elements_);
  for (std::uint32_t i = 0; i < count; ++i) {
    area.results[i] = elements_[i]->done != 0 ? 1 : 0;
  }
  return {};
}

} // namespace vmemfs::leechcore
