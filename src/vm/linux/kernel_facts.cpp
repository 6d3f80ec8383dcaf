// SPDX-License-Identifier: MIT
#include "vm/linux/kernel_facts.h"

#include "linux/isf/isf.h"
#include "linux/landmarks/landmarks.h"
#include "linux/landmarks/system_names.h"
#include "linux/modules/module_symbols.h"
#include "linux/symbols/kallsyms.h"
#include "linux/symbols/symbol_map.h"
#include "linux/tasks/task_layout.h"
#include "linux/vmlinux/vmlinux.h"
#include "util/work_limit.h"

#include <algorithm>
#include <array>
#include <chrono>
#include <span>
#include <string_view>
#include <utility>
#include <vector>

namespace vmemfs {
namespace {

/// Of one fact, from memory that may be far away.
constexpr std::chrono::seconds kMaxReadTime{30};
/// Of what is read again and again.
constexpr std::chrono::seconds kMaxListTime{10};

template <typename T> tl::unexpected<Error> failed(const Result<T>& result) {
  return tl::unexpected<Error>{result.error()};
}

/// The kernel's version text, which its variable linux_banner has.
Result<std::string> read_banner(KernelMemory& memory, std::optional<std::uint64_t> address) {
  constexpr std::size_t kMaxBanner = 1024;
  constexpr std::string_view kBegin = "Linux version ";
  if (!address) {
    return fail(ErrorKind::no_data, "linux",
                "the kernel has no symbol linux_banner, and its image no version text of its release");
  }
  std::array<char, kMaxBanner> bytes{};
  const std::size_t size = memory.read(*address, std::as_writable_bytes(std::span{bytes}));
  const std::string_view text{bytes.data(), size};
  const std::size_t end = text.find('\0');
  if (end == std::string_view::npos || !text.starts_with(kBegin)) {
    return fail(ErrorKind::no_data, "linux", "linux_banner does not have the kernel's version");
  }
  return std::string{text.substr(0, end)};
}

Result<std::vector<std::byte>> read_btf(KernelMemory& memory, const KernelSymbols& symbols) {
  constexpr std::uint64_t kMaxBtf = std::uint64_t{16} << 20U; // three times that of the largest kernels
  const auto begin = symbols.find("__start_BTF");
  const auto end = symbols.find("__stop_BTF");
  if (!begin || !end || *end <= *begin || *end - *begin > kMaxBtf) {
    return fail(ErrorKind::no_data, "linux",
                "the kernel has no types in its memory; was it built without CONFIG_DEBUG_INFO_BTF?");
  }
  std::vector<std::byte> bytes(*end - *begin);
  if (memory.read(*begin, bytes) != bytes.size()) {
    return fail(ErrorKind::no_data, "linux", "some of the kernel's types cannot be read");
  }
  return bytes;
}

} // namespace

KernelImageRange KernelFacts::image() const {
  return {kernel_.image_address, kernel_.image_address + kernel_.image.size()};
}

std::uint64_t KernelFacts::kaslr_offset() const { return kernel_.info.kaslr_offset.value_or(0); }

Lazy<KernelSymbols>::Value KernelFacts::symbols() {
  return symbols_.get([this]() -> Lazy<KernelSymbols>::Value {
    const WorkLimit limit{WorkLimit::Clock::now() + kMaxReadTime};
    auto found = read_kallsyms(memory_, image());
    const auto& stext = kernel_.info.stext;
    if (found && stext && (*found)->find("_stext") != stext) {
      return fail(ErrorKind::no_data, "linux", "the kernel's symbols and its VMCOREINFO do not agree");
    }
    return found;
  });
}

Result<void> KernelFacts::has_data_symbols() {
  const auto found = symbols();
  if (!found) {
    return failed(found);
  }
  if (!names_data(**found)) {
    return fail(ErrorKind::no_data, "linux",
                "the kernel was built without CONFIG_KALLSYMS_ALL, so its symbols are those of code alone");
  }
  return {};
}

Lazy<std::string>::Value KernelFacts::banner() {
  return banner_.get([this]() -> Lazy<std::string>::Value {
    const auto found = symbols();
    if (!found) {
      return failed(found);
    }
    const WorkLimit limit{WorkLimit::Clock::now() + kMaxReadTime};
    return read_banner(memory_, banner_address()).map([](std::string&& text) {
      return std::make_shared<const std::string>(std::move(text));
    });
  });
}

std::optional<std::uint64_t> KernelFacts::banner_address() {
  const auto found = symbols();
  if (found && names_data(**found)) {
    return (*found)->find("linux_banner");
  }
  const auto names = found ? system_names(memory_, kernel_.info) : std::nullopt;
  return names ? find_banner(memory_, image(), *names) : std::nullopt;
}

Lazy<btf::Types>::Value KernelFacts::types() {
  return types_.get([this]() -> Lazy<btf::Types>::Value {
    const auto found = symbols();
    if (!found) {
      return failed(found);
    }
    const WorkLimit limit{WorkLimit::Clock::now() + kMaxReadTime};
    if (!names_data(**found)) {
      return find_types(memory_, image());
    }
    return read_btf(memory_, **found).and_then([](std::vector<std::byte>&& bytes) {
      return btf::Types::parse(std::move(bytes));
    });
  });
}

Lazy<std::uint64_t>::Value KernelFacts::idle_task() {
  return idle_task_.get([this]() -> Lazy<std::uint64_t>::Value {
    const auto found = symbols();
    if (!found) {
      return failed(found);
    }
    if (const auto named = (*found)->find("init_task")) {
      return std::make_shared<const std::uint64_t>(*named);
    }
    const auto layout =
        types().and_then([](const std::shared_ptr<const btf::Types>& known) { return task_layout(*known); });
    if (!layout) {
      return failed(layout);
    }
    const WorkLimit limit{WorkLimit::Clock::now() + kMaxReadTime};
    const auto address = find_idle_task(memory_, image(), *layout);
    if (!address && WorkLimit::over()) {
      return WorkLimit::exceeded("linux");
    }
    if (!address) {
      return fail(ErrorKind::no_data, "linux",
                  "the kernel has no symbol init_task, and its image no idle task");
    }
    return std::make_shared<const std::uint64_t>(*address);
  });
}

std::optional<std::uint64_t> KernelFacts::vmcoreinfo_variable() {
  const auto found = symbols();
  if (found && names_data(**found)) {
    return (*found)->find("vmcoreinfo_data");
  }
  return found && kernel_.direct_map
             ? find_pointer(memory_, image(), *kernel_.direct_map + kernel_.page.value())
             : std::nullopt;
}

Lazy<std::string>::Value KernelFacts::system_map() {
  return system_map_.get([this]() -> Lazy<std::string>::Value {
    return symbols().map([this](const std::shared_ptr<const KernelSymbols>& found) {
      return std::make_shared<const std::string>(symbol_map(*found, kaslr_offset()));
    });
  });
}

Lazy<ElfFile>::Value KernelFacts::vmlinux() {
  return vmlinux_.get([this]() -> Lazy<ElfFile>::Value {
    const auto found = symbols();
    if (const auto has_data = has_data_symbols(); !has_data) {
      return failed(has_data);
    }
    const auto found_types = types();
    return std::make_shared<const ElfFile>(make_vmlinux({.symbols = **found,
                                                         .types = found_types ? found_types->get() : nullptr,
                                                         .machine = kernel_.architecture->machine(),
                                                         .image = kernel_.image,
                                                         .image_address = kernel_.image_address,
                                                         .kaslr_offset = kaslr_offset(),
                                                         .build_id = kernel_.info.build_id}));
  });
}

Lazy<std::string>::Value KernelFacts::isf() {
  return isf_.get([this]() -> Lazy<std::string>::Value {
    const auto found = symbols();
    const auto found_types = types();
    const auto text = banner();
    if (const auto has_data = has_data_symbols(); !has_data) {
      return failed(has_data);
    }
    if (!found || !found_types || !text) {
      return !found ? failed(found) : !found_types ? failed(found_types) : failed(text);
    }
    const std::string variable = **text + '\0';
    return isf_text(**found, **found_types,
                    {.banner = variable,
                     .kaslr_offset = kaslr_offset(),
                     .release = kernel_.info.release,
                     .producer_version = VMEMFS_VERSION})
        .map([](std::string&& made) { return std::make_shared<const std::string>(std::move(made)); });
  });
}

template <typename Read> auto KernelFacts::with_types(Read&& read) {
  using Returned = decltype(read(std::declval<const RunningKernel&>()));
  const auto found = symbols();
  const auto found_types = types();
  if (!found || !found_types) {
    return Returned{!found ? failed(found) : failed(found_types)};
  }
  const auto first = idle_task(); // some lists need none
  const WorkLimit limit{WorkLimit::Clock::now() + kMaxListTime};
  return read(RunningKernel{.memory = memory_,
                            .symbols = **found,
                            .types = **found_types,
                            .vmcoreinfo = kernel_.info,
                            .found_idle_task = first ? std::optional{**first} : std::nullopt});
}

Result<std::string> KernelFacts::list(Result<std::string> (*make)(const RunningKernel&)) {
  return with_types(make);
}

Result<std::string> KernelFacts::module_symbols() {
  const auto found = symbols();
  if (!found) {
    return failed(found);
  }
  // The kernel's own are worth having, so what is missing is said in the text.
  const auto has_data = has_data_symbols();
  auto text = has_data ? list(vmemfs::module_symbols) : Result<std::string>{failed(has_data)};
  if (!text && text.error().kind != ErrorKind::timed_out) {
    text = !has_data || (*found)->find("modules") ? no_module_symbols(text.error()) : std::string{};
  }
  if (text) {
    kallsyms_bytes_ = vmemfs::symbol_map_bytes(**found) + text->size();
  }
  return text;
}

Result<std::vector<ModuleTypes>> KernelFacts::modules_with_types() {
  if (const MutexLock lock{mutex_}; Clock::now() < modules_end_) {
    return modules_;
  }
  auto listed = with_types([](const RunningKernel& kernel) { return list_module_types(kernel); });
  if (listed) {
    const MutexLock lock{mutex_};
    modules_ = *listed;
    modules_end_ = Clock::now() + kListValid;
  }
  return listed;
}

Result<std::shared_ptr<const btf::Types>> KernelFacts::module_types(std::string_view name) {
  return types().and_then([&](const std::shared_ptr<const btf::Types>& base) {
    return with_types([&](const RunningKernel& kernel) { return read_module_types(kernel, name, base); });
  });
}

std::size_t KernelFacts::module_types_bytes(std::string_view name) const {
  const MutexLock lock{mutex_};
  const auto found = std::ranges::find(modules_, name, &ModuleTypes::name);
  return found != modules_.end() ? found->size : 0;
}

bool KernelFacts::knows_modules() const {
  const MutexLock lock{mutex_};
  return Clock::now() < modules_end_;
}

std::size_t KernelFacts::types_bytes() const {
  const btf::Types* const known = types_.known();
  return known != nullptr ? known->bytes().size() : 0;
}

std::size_t KernelFacts::symbol_map_bytes() const {
  const KernelSymbols* const known = symbols_.known();
  return known != nullptr ? vmemfs::symbol_map_bytes(*known) : 0;
}

std::uint64_t KernelFacts::vmlinux_bytes() const {
  const ElfFile* const known = vmlinux_.known();
  return known != nullptr ? known->layout.size() : 0;
}

std::size_t KernelFacts::isf_bytes() const {
  const std::string* const known = isf_.known();
  return known != nullptr ? known->size() : 0;
}

std::size_t KernelFacts::bytes() const {
  const KernelSymbols* const symbols = symbols_.known();
  const btf::Types* const types = types_.known();
  const ElfFile* const vmlinux = vmlinux_.known();
  const std::string* const map = system_map_.known();
  return isf_bytes() + (map != nullptr ? map->capacity() : 0) +
         (vmlinux != nullptr ? vmlinux->made.capacity() : 0) + (symbols != nullptr ? symbols->bytes() : 0) +
         (types != nullptr ? types->memory() : 0);
}

} // namespace vmemfs
