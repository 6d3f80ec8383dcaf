// SPDX-License-Identifier: MIT
#include "fs/save/guest/guest_pause.h"

#include "core/text.h"

#include <array>
#include <cerrno>
#include <fcntl.h>
#include <fmt/format.h>
#include <string>
#include <string_view>
#include <unistd.h>

namespace vmemfs {
namespace {

/// The reason why the last command of this handle failed, in words.
std::string answer_of(int control) {
  std::array<char, 1024> answer{};
  const ssize_t size = ::read(control, answer.data(), answer.size());
  return size <= 0 ? std::string{}
                   : printable(trim({answer.data(), static_cast<std::size_t>(size)}), answer.size());
}

} // namespace

Result<GuestPause> GuestPause::begin(const MountedVm& vm) {
  auto control = vm.open("control", O_RDWR);
  if (!control) {
    return tl::unexpected{control.error()};
  }
  constexpr std::string_view kCommand = "pause hold\n";
  if (::write(control->get(), kCommand.data(), kCommand.size()) != static_cast<ssize_t>(kCommand.size())) {
    const int error = errno;
    const std::string reason = answer_of(control->get());
    const std::string what = fmt::format("cannot pause '{}'", printable(vm.path()));
    if (reason.empty()) {
      return vm_failure(error, what);
    }
    return fail(kind_of_errno(error), "save", fmt::format("{}: {}; or save it with --live", what, reason));
  }
  return GuestPause{std::move(*control), Clock::now()};
}

Result<void> detach_vm(const MountedVm& vm) {
  const auto control = vm.open("control", O_WRONLY);
  if (!control) {
    return tl::unexpected{control.error()};
  }
  constexpr std::string_view kCommand = "detach\n";
  if (::write(control->get(), kCommand.data(), kCommand.size()) != static_cast<ssize_t>(kCommand.size())) {
    return fail_errno(errno, "save",
                      fmt::format("the guest of '{}' may stay paused, and must be resumed by its hypervisor: "
                                  "cannot detach from it",
                                  printable(vm.path())));
  }
  return {};
}

void GuestPause::end() {
  if (control_) {
    control_.reset();
    length_ = Clock::now() - begun_;
  }
}

} // namespace vmemfs
