// SPDX-License-Identifier: MIT
#include "vm/linux/kernel_proof.h"

#include "linux/landmarks/landmarks.h"
#include "linux/landmarks/system_names.h"
#include "linux/tasks/task_ring.h"
#include "util/work_limit.h"
#include "vm/linux/kernel_facts.h"
#include "vm/linux/paged_memory.h"

#include <fmt/format.h>
#include <memory>
#include <utility>

namespace vmemfs {
namespace {

template <typename... Arguments>
tl::unexpected<Error> refuse(fmt::format_string<Arguments...> text, Arguments&&... arguments) {
  return fail(ErrorKind::no_data, "linux", fmt::format(text, std::forward<Arguments>(arguments)...));
}

/// Whether this variable points to the kernel's VMCOREINFO.
Result<void> check_vmcoreinfo(PagedMemory& memory, const LinuxKernel& kernel, std::uint64_t variable) {
  const auto address = memory.value<std::uint64_t>(variable);
  if (!address || memory.translate(*address) != kernel.page) {
    return refuse("the kernel's vmcoreinfo_data does not point to it, as of a former boot or a copy");
  }
  return {};
}

Result<void> check_names(PagedMemory& memory, const LinuxKernel& kernel) {
  const auto names = system_names(memory, kernel.info);
  if (!names || names->release != kernel.info.release) {
    return refuse("the kernel's init_uts_ns does not have the names of this kernel");
  }
  return {};
}

/// The ring of a kernel that runs may change while it is walked.
Result<void> check_ring(PagedMemory& memory, const TaskLayout& layout, std::uint64_t init_task,
                        unsigned walks) {
  auto checked = check_task_ring(memory, layout, init_task);
  for (unsigned walk = 1; walk < walks && !checked && !WorkLimit::over(); ++walk) {
    checked = check_task_ring(memory, layout, init_task);
  }
  return checked;
}

class Proof {
public:
  Proof(AddressSpace& memory, const LinuxKernel& kernel, unsigned ring_walks)
      : facts_{memory, kernel}, ring_walks_{ring_walks} {}

  [[nodiscard]] Result<ProvenBy> run() {
    const auto symbols = facts_.symbols();
    if (!symbols) {
      return tl::unexpected{symbols.error()};
    }
    const auto variable = facts_.vmcoreinfo_variable();
    if (!variable) {
      return refuse("no variable of the kernel points to it, as of a former boot or a copy");
    }
    return check_vmcoreinfo(facts_.memory(), kernel(), *variable)
        .and_then([&] { return check_banner(); })
        .and_then([&] { return check_names(facts_.memory(), kernel()); })
        .and_then([&] { return check_tasks(**symbols, *variable); });
  }

private:
  [[nodiscard]] const LinuxKernel& kernel() const { return facts_.kernel(); }

  [[nodiscard]] Result<void> check_banner() {
    const auto banner = facts_.banner();
    if (!banner) {
      return tl::unexpected{banner.error()};
    }
    const std::uint64_t address = facts_.banner_address().value_or(0);
    if (!(*banner)->starts_with(fmt::format("Linux version {} ", kernel().info.release)) ||
        facts_.memory().translate(address) != kernel().image.begin + (address - kernel().image_address)) {
      return refuse("the kernel's linux_banner is another one, or elsewhere");
    }
    return {};
  }

  [[nodiscard]] Result<ProvenBy> check_tasks(const KernelSymbols& symbols, std::uint64_t variable) {
    const ProvenBy without_tasks{.proof = KernelProof::vmcoreinfo, .vmcoreinfo_variable = variable};
    if (names_data(symbols) && !symbols.find("__start_BTF")) {
      return without_tasks;
    }
    // If it may have types, they have to be good: those of a former boot may be overwritten.
    const auto types = facts_.types();
    if (!types) {
      return tl::unexpected{types.error()};
    }
    const auto layout = task_layout(**types);
    const auto init_task = facts_.idle_task();
    if (!layout || (!init_task && names_data(symbols))) {
      return without_tasks;
    }
    if (!init_task) {
      return tl::unexpected{init_task.error()};
    }
    return check_ring(facts_.memory(), *layout, **init_task, ring_walks_).map([&] {
      return ProvenBy{.proof = KernelProof::structures,
                      .vmcoreinfo_variable = variable,
                      .idle_task = **init_task,
                      .tasks = *layout};
    });
  }

  KernelFacts facts_;
  const unsigned ring_walks_;
};

} // namespace

Result<ProvenBy> prove_kernel(AddressSpace& memory, const LinuxKernel& kernel, std::chrono::seconds limit,
                              unsigned ring_walks) {
  const WorkLimit work{WorkLimit::Clock::now() + limit};
  auto proof = Proof{memory, kernel, ring_walks}.run();
  if (!proof && WorkLimit::over()) { // whatever failed, failed because of that
    return fail(ErrorKind::timed_out, "linux",
                "the examination of a kernel in memory took too long; it is tried again at a later read");
  }
  return proof;
}

bool is_still_proven(AddressSpace& memory, const LinuxKernel& kernel, const ProvenBy& by,
                     std::chrono::seconds limit) {
  const WorkLimit work{WorkLimit::Clock::now() + limit};
  PagedMemory paged{memory, kernel};
  return check_vmcoreinfo(paged, kernel, by.vmcoreinfo_variable).and_then([&] {
    return check_names(paged, kernel);
  }) && (!by.tasks || check_ring(paged, *by.tasks, by.idle_task, kMaxRingWalks));
}

} // namespace vmemfs
