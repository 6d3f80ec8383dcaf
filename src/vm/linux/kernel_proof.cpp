// SPDX-License-Identifier: MIT
#include "vm/linux/kernel_proof.h"

#include "linux/tasks/task_ring.h"
#include "util/work_limit.h"
#include "vm/linux/kernel_facts.h"

#include <array>
#include <fmt/format.h>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <utility>

namespace vmemfs {
namespace {

template <typename... Arguments>
tl::unexpected<Error> refuse(fmt::format_string<Arguments...> text, Arguments&&... arguments) {
  return fail(ErrorKind::no_data, "linux", fmt::format(text, std::forward<Arguments>(arguments)...));
}

class Proof {
public:
  Proof(AddressSpace& memory, const LinuxKernel& kernel) : facts_{memory, kernel} {}

  [[nodiscard]] Result<KernelProof> run() {
    const auto symbols = facts_.symbols();
    if (!symbols) {
      return tl::unexpected{symbols.error()};
    }
    return check_vmcoreinfo(**symbols)
        .and_then([&] { return check_banner(**symbols); })
        .and_then([&] { return check_names(); })
        .and_then([&] { return check_tasks(**symbols); });
  }

private:
  [[nodiscard]] const LinuxKernel& kernel() const { return facts_.kernel(); }

  [[nodiscard]] Result<void> check_vmcoreinfo(const KernelSymbols& symbols) {
    const auto variable = symbols.find("vmcoreinfo_data");
    if (!variable) {
      return refuse(
          "without vCPU registers the kernel's symbol vmcoreinfo_data is needed; was it built without "
          "CONFIG_KALLSYMS_ALL?");
    }
    const auto address = facts_.memory().value<std::uint64_t>(*variable);
    if (!address || facts_.memory().translate(*address) != kernel().page) {
      return refuse("the kernel's vmcoreinfo_data does not point to it, as of a former boot or a copy");
    }
    return {};
  }

  [[nodiscard]] Result<void> check_banner(const KernelSymbols& symbols) {
    const auto banner = facts_.banner();
    if (!banner) {
      return tl::unexpected{banner.error()};
    }
    const std::uint64_t address = symbols.find("linux_banner").value_or(0);
    if (!(*banner)->starts_with(fmt::format("Linux version {} ", kernel().info.release)) ||
        facts_.memory().translate(address) != kernel().image.begin + (address - kernel().image_address)) {
      return refuse("the kernel's linux_banner is another one, or elsewhere");
    }
    return {};
  }

  /// init_uts_ns has the names of the system, of the host and of the release, each in 65 bytes, behind
  /// members that depend on the version.
  [[nodiscard]] Result<void> check_names() {
    constexpr std::size_t kEnough = 512;
    constexpr std::size_t kRelease = std::size_t{2} * 65;
    using namespace std::string_view_literals;
    std::array<char, kEnough> bytes{};
    const auto address = kernel().info.symbol("init_uts_ns");
    const std::size_t size =
        address ? facts_.memory().read(*address, std::as_writable_bytes(std::span{bytes})) : 0;
    const std::string_view names{bytes.data(), size};
    const std::size_t system = names.find("Linux\0"sv);
    if (system == std::string_view::npos || names.size() - system < kRelease ||
        !names.substr(system + kRelease).starts_with(kernel().info.release + '\0')) {
      return refuse("the kernel's init_uts_ns does not have the names of this kernel");
    }
    return {};
  }

  [[nodiscard]] Result<KernelProof> check_tasks(const KernelSymbols& symbols) {
    if (!symbols.find("__start_BTF")) {
      return KernelProof::vmcoreinfo;
    }
    // If it says that it has types, they have to be good: those of a former boot may be overwritten.
    const auto types = facts_.types();
    if (!types) {
      return tl::unexpected{types.error()};
    }
    const auto layout = task_layout(**types);
    const auto init_task = symbols.find("init_task");
    if (!layout || !init_task) {
      return KernelProof::vmcoreinfo;
    }
    return check_task_ring(facts_.memory(), *layout, *init_task).map([] { return KernelProof::structures; });
  }

  KernelFacts facts_;
};

} // namespace

Result<KernelProof> prove_kernel(AddressSpace& memory, const LinuxKernel& kernel,
                                 std::chrono::seconds limit) {
  const WorkLimit work{WorkLimit::Clock::now() + limit};
  auto proof = Proof{memory, kernel}.run();
  if (!proof && WorkLimit::over()) { // whatever failed, failed because of that
    return fail(ErrorKind::timed_out, "linux",
                "the examination of a kernel in memory took too long; it is tried again at a later read");
  }
  return proof;
}

} // namespace vmemfs
